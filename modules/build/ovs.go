package build

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// OVSSpec is the spec of kind ovs_build.
type OVSSpec struct {
	Name         string            `json:"name,omitzero" weft:"label" doc:"What it is called here: /opt/NAME, and its files in the cache."`
	Version      string            `json:"version,omitzero" doc:"Its version, for the tree's name. Required."`
	Source       string            `json:"source,omitzero" doc:"Path of the tarball on the host. Required."`
	SHA256       string            `json:"sha256,omitzero" doc:"SHA-256 of the tarball, checked again before it is unpacked. Required."`
	DPDK         string            `json:"dpdk,omitzero" doc:"The tree or the prefix of a DPDK to be built with (step.dpdk_build.NAME.tree); without DPDK where left out."`
	Options      []string          `json:"options,omitzero" doc:"Further arguments of configure."`
	Environment  map[string]string `json:"environment,omitzero" doc:"Variables of configure and make, such as CFLAGS."`
	Packages     []string          `json:"packages,omitzero" weft:"set" doc:"Packages that it is built with. They must be there, and their versions are part of the key."`
	Prefix       string            `json:"prefix,omitzero" doc:"The symlink to the tree that is in use; /opt/NAME where left out."`
	Programs     []string          `json:"programs,omitzero" weft:"set" doc:"Programs below the prefix that /usr/local/bin or /usr/local/sbin gets links to; the usual ones where left out."`
	Units        step.Attr[bool]   `json:"units,omitzero" doc:"Whether there are the units weft-ovsdb-server and weft-ovs-vswitchd; true where left out."`
	StartOptions []string          `json:"start_options,omitzero" doc:"Further arguments of ovs-ctl start in both units, such as --no-mlockall."`
	Archive      string            `json:"archive,omitzero" doc:"Path of a result of another host, that is taken where it is of the same inputs."`
	User         string            `json:"user,omitzero" doc:"The user that unpacks, compiles and stages; root where left out."`
	Jobs         int               `json:"jobs,omitzero" doc:"How many compilers at a time; as many as processors where left out."`
	Timeout      string            `json:"timeout,omitzero" default:"3h" doc:"The longest that one phase may take."`
	Directory    string            `json:"directory,omitzero" doc:"Where it is compiled; /var/cache/weft/builds where left out."`
	State        step.State        `json:"state,omitzero" default:"present" doc:"Whether it is installed."`
}

// usualPrograms are those that people and weft call.
func usualPrograms() []string {
	return []string{
		"bin/ovs-appctl", "bin/ovs-dpctl", "bin/ovs-ofctl", "bin/ovs-pki", "bin/ovs-vsctl", "bin/ovsdb-client", "bin/ovsdb-tool",
		"sbin/ovs-vswitchd", "sbin/ovsdb-server",
	}
}

func (s *OVSSpec) common() common {
	c := common{
		name: s.Name, version: s.Version, source: s.Source, sum: s.SHA256, prefix: s.Prefix, state: s.State,
		packages: s.Packages, programs: s.Programs, environment: s.Environment,
		directory: s.Directory, user: s.User, timeout: s.Timeout, archive: s.Archive, jobs: s.Jobs,
	}
	if c.programs == nil {
		c.programs = usualPrograms()
	}
	return c
}

// Validate finds what cannot be built.
func (s *OVSSpec) Validate() []step.Problem {
	all := s.common().problems()
	if s.DPDK != "" && !clean(s.DPDK) {
		all = append(all, step.Problem{Path: "dpdk", Message: fmt.Sprintf("%q is not the path of a DPDK", s.DPDK), Hint: "step.dpdk_build.NAME.tree"})
	}
	for _, option := range s.StartOptions {
		if !strings.HasPrefix(option, "--") || strings.ContainsAny(option, " \t\n\"'\\$%;") {
			all = append(all, step.Problem{Path: "start_options", Message: fmt.Sprintf("%q is not an option of ovs-ctl", option), Hint: `one word each: "--no-mlockall"`})
		}
	}
	return all
}

func ovsKind() step.Kind {
	return step.Kind{
		Name:    "ovs_build",
		Summary: "Open vSwitch built from its source, with DPDK or without, in a tree of its own, with its units.",
		Doc: sharedDoc + `

Its database lies in /etc/openvswitch, its sockets in /run/openvswitch and its logs in /var/log/openvswitch, where all of weft looks for them, whichever tree is in use. They stay when it is taken
away, as those of a package do. With dpdk it is linked to the shared libraries of that very tree, so a later DPDK is no matter to it until it is built with it.

The units weft-ovsdb-server and weft-ovs-vswitchd start what the prefix leads to. Steps "service" enable and start them; with restart_on they restart after an upgrade, which
is an outage of the dataplane. Once they are enabled they answer to the names ovsdb-server and ovs-vswitchd too, by which other steps restart them. Where the distribution's own Open vSwitch runs,
nothing is built: two daemons cannot share one database. Stop and disable openvswitch-switch, ovs-vswitchd and ovsdb-server by steps "service" first, or set units = false.`,
		Spec: OVSSpec{}, Outputs: Outputs{},
		Example: `step "ovs_build" "openvswitch" {
  version  = "3.1.0"
  source   = "/usr/src/openvswitch/openvswitch.tar.gz"
  sha256   = "82dde6737921b63b284ad8399f95c7f1de94e1b96b2036dcf4a78c9f969ab03f"
  dpdk     = step.dpdk_build.dpdk.tree
  packages = ["gcc", "make", "libssl-dev"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			s, err := step.Decode[OVSSpec](u)
			return made(u, s.recipe(), err)
		},
	}
}

func (s *OVSSpec) recipe() recipe {
	r := s.common().recipe("ovs_build")
	r.dpdk = s.DPDK
	options := []string{"--localstatedir=/var", "--sysconfdir=/etc"}
	environment := map[string]string{}
	if s.DPDK != "" {
		options = append(options, "--with-dpdk=shared")
		environment["PKG_CONFIG_PATH"] = "{dpdk}/lib/pkgconfig"
		environment["LDFLAGS"] = runPath("{dpdk}")
	}
	environment["CFLAGS"] = "-O2" // without what debuggers want, which is seven times as much
	r.env = joined(environment, s.Environment)
	r.phases = phasesOf("autotools", append(options, s.Options...))
	// All that it would put elsewhere.
	r.phases[3].argv[0] = append(r.phases[3].argv[0], "completiondir={prefix}/share/bash-completion/completions")
	r.ask("options", s.Options...)
	r.units = s.unitFiles(r)
	if s.Units.Or(true) {
		r.obstacle = packagedRuns
	}
	return r
}

const (
	databaseUnit = "weft-ovsdb-server.service"
	switchUnit   = "weft-ovs-vswitchd.service"
)

// unitFiles are the texts of the units, which lead through the prefix; empty where
// none are asked for.
func (s *OVSSpec) unitFiles(r recipe) map[string]string {
	if r.absent || !s.Units.Or(true) {
		return map[string]string{databaseUnit: "", switchUnit: ""}
	}
	control := path.Join(r.prefix, "share/openvswitch/scripts/ovs-ctl")
	start := func(not string) string {
		return strings.Join(slices.Concat([]string{control, not, "--no-monitor", "--system-id=random"}, s.StartOptions, []string{"start"}), " ")
	}
	return map[string]string{
		databaseUnit: `[Unit]
Description=Database of Open vSwitch from ` + r.prefix + `
After=local-fs.target
Before=network-pre.target
Wants=network-pre.target
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=forking
PIDFile=/run/openvswitch/ovsdb-server.pid
Restart=on-failure
RuntimeDirectory=openvswitch
RuntimeDirectoryPreserve=yes
ConfigurationDirectory=openvswitch
LogsDirectory=openvswitch
ExecStart=` + start("--no-ovs-vswitchd") + `
ExecStop=` + control + ` --no-ovs-vswitchd stop

[Install]
WantedBy=multi-user.target
Alias=ovsdb-server.service
`,
		switchUnit: `[Unit]
Description=Forwarding of Open vSwitch from ` + r.prefix + `
After=` + databaseUnit + ` systemd-udev-settle.service
Before=network-pre.target
Requires=` + databaseUnit + `
Wants=network-pre.target
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=forking
PIDFile=/run/openvswitch/ovs-vswitchd.pid
Restart=on-failure
TimeoutStartSec=300
LimitNOFILE=1048576
ExecStart=` + start("--no-ovsdb-server") + `
ExecStop=` + control + ` --no-ovsdb-server stop

[Install]
WantedBy=multi-user.target
Alias=ovs-vswitchd.service
`,
	}
}

// packagedRuns refuses to build beside the distribution's own Open vSwitch.
func packagedRuns(ctx context.Context, v host.View) error {
	for _, name := range []string{"ovs-vswitchd.service", "ovsdb-server.service"} {
		u, err := v.Units.Unit(ctx, name)
		if err != nil {
			return err
		}
		if u.ActiveState == "active" && !strings.HasPrefix(path.Base(u.FragmentPath), "weft-") {
			return waits("another Open vSwitch runs (" + u.FragmentPath + "), and would fight with this one for its database: " +
				"stop and disable openvswitch-switch, ovs-vswitchd and ovsdb-server by steps \"service\" before, or say units = false")
		}
	}
	return nil
}
