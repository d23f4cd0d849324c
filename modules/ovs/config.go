package ovs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// ConfigSpec is the attributes of ovs_config.
type ConfigSpec struct {
	OtherConfig map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of the column other_config; absent removes a key, keys left out stay."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of the column external_ids; absent removes a key, keys left out stay."`
	Managers    []Remote                     `json:"managers,omitzero" weft:"set" doc:"All OVSDB managers; [] removes them."`

	// Deaf are managers that should listen and do not. Undo wants them back as
	// they were.
	Deaf    []string     `json:"managers.deaf,omitzero" weft:"found"`
	Remotes []row.Record `json:"managers.rows,omitzero" weft:"found"`

	// Initialised is whether DPDK is at work in ovs-vswitchd. An undo does not
	// ask for it.
	Initialised bool        `json:"dpdk_initialized,omitzero" weft:"found"`
	Restart     restartSeen `json:"restart,omitzero" weft:"found"`
	Asked       bool        `json:"-"` // by a playbook

	Seen configSeen `json:"seen,omitzero" weft:"found"`
}

// configSeen is for the outputs.
type configSeen struct {
	Version  string `json:"version,omitzero"`
	Database string `json:"database,omitzero"`
	SystemID string `json:"system_id,omitzero"`
}

// Validate implements [step.Validator].
func (s *ConfigSpec) Validate() []step.Problem {
	problems := managers().problems(s.Managers)
	for _, key := range maskKeys() {
		if text, set := s.OtherConfig[key].Get(); set {
			if message, hint := maskProblem(key, text); message != "" {
				problems = append(problems, step.Problem{Path: "other_config." + key, Message: message, Hint: hint})
			}
		}
	}
	return problems
}

// ConfigOutputs is what ovs_config knows when it is done.
type ConfigOutputs struct {
	Version  string `json:"ovs_version,omitzero" doc:"Version of ovs-vswitchd, as the database says it."`
	Database string `json:"db_version,omitzero" doc:"Version of the database's schema."`
	SystemID string `json:"system_id,omitzero" doc:"The identity of this switch: external_ids:system-id."`
}

// config is the resource behind ovs_config: the one row of Open_vSwitch.
type config struct{}

func (config) Read(ctx context.Context, v host.View, want ConfigSpec) (ConfigSpec, error) {
	t, err := readTables(ctx, v)
	if err != nil {
		return ConfigSpec{}, err
	}
	have := ConfigSpec{
		OtherConfig: readKeys(want.OtherConfig, t.root, "other_config"),
		ExternalIDs: readKeys(want.ExternalIDs, t.root, "external_ids"),
		Seen: configSeen{
			Version: row.String(t.root, "ovs_version"), Database: row.String(t.root, "db_version"),
			SystemID: row.Map(t.root, "external_ids")["system-id"],
		},
	}
	have.Managers, have.Remotes = managers().read(want.Managers, t.root, t.managers)
	have.Deaf = deaf(have.Remotes)
	have.Initialised, _ = row.Bool(t.root, "dpdk_initialized")
	if want.Asked {
		have.Restart, err = t.beforeRestart(ctx, v, have, want)
	}
	return have, err
}

// deaf are the managers that should listen and do not, as ovsdb-server says.
func deaf(managers []row.Record) []string {
	var out []string
	for _, m := range managers {
		remote := remoteOf(ovsdb.Row(m))
		if _, _, listens := remote.listener(); listens && row.Map(ovsdb.Row(m), "status")["bound_port"] == "" {
			out = append(out, remote.Target)
		}
	}
	return out
}

func (config) Diff(have, want ConfigSpec) []step.Delta {
	deltas := step.Compare(have, want)
	if want.wantsDPDK() && !have.Initialised {
		deltas = append(deltas, step.Change("dpdk_initialized", false, true))
	}
	for _, target := range have.Deaf {
		same := func(r Remote) bool { return r.Target == target }
		if slices.ContainsFunc(want.Managers, same) && slices.ContainsFunc(have.Managers, same) && !slices.Contains(want.Deaf, target) {
			deltas = append(deltas, step.Change("managers.listening", nil, target))
		}
	}
	return deltas
}

func (r config) Write(ctx context.Context, h host.Host, _, want ConfigSpec) error {
	t, err := freshTables(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	c := newColumns()
	c.keys("other_config", want.OtherConfig)
	c.keys("external_ids", want.ExternalIDs)
	var tx row.Tx
	c.apply(&tx, "Open_vSwitch", t.root)
	managers().update(&tx, t.root, t.managers, want.Managers, want.Remotes)
	if !tx.Empty() {
		if err := commit(ctx, h, t, &tx); err != nil {
			return err
		}
	}
	return r.listen(ctx, h, want)
}

// listeningTime is how long ovsdb-server may take to say that it listens: it
// tells the state of its connections every 2.5 seconds.
const listeningTime = 8 * time.Second

// listen waits until all managers listen that should.
func (r config) listen(ctx context.Context, h host.Host, want ConfigSpec) error {
	return step.Await(ctx, listeningTime, func() error {
		h.Memo.Forget()
		have, err := r.Read(ctx, h.View(), want)
		if err != nil {
			return err
		}
		for _, d := range r.Diff(have, want) {
			if d.Path == "managers.listening" {
				return fmt.Errorf("nothing listens at %s: is the address on this host, and is the port free? ovsdb-server says why in /var/log/openvswitch/ovsdb-server.log", d.To)
			}
		}
		return nil
	})
}

// restartKeys are the keys of other_config that ovs-vswitchd reads only when
// it starts (ovs-vswitchd.conf.db(5): "changing this value requires restarting
// the daemon").
func restartKeys() []string {
	return []string{
		"dpdk-alloc-mem", "dpdk-extra", "dpdk-hugepage-dir", "dpdk-init", "dpdk-lcore-mask", "dpdk-socket-limit", "dpdk-socket-mem",
		"hw-offload", "n-offload-threads", "offload-rebalance", "per-port-memory", "shared-mempool-config", "userspace-tso-enable",
		"vhost-iommu-support", "vhost-postcopy-support", "vhost-sock-dir",
	}
}

func (config) Advise(f *step.Finding, have, want ConfigSpec) {
	f.Warnings = append(append(f.Warnings, openWarnings(want.Managers)...), silent(want.Managers, have.Remotes)...)
	f.Warnings = append(f.Warnings, have.Restart.Warnings...)
	if reason, restarts := restarting(f.Deltas); restarts {
		f.Needs = []step.Need{{Verb: step.RestartUnit, Object: switchUnit, Reason: reason}}
		f.Cost.Disruption = "restarts ovs-vswitchd: a dataplane outage of seconds"
		severs(f, have.Restart.Severs)
	}
	seen := have.Seen
	for _, d := range f.Deltas {
		if d.Path == "external_ids.system-id" {
			_ = json.Unmarshal(d.To, &seen.SystemID) // null leaves what is there
		}
	}
	f.Outputs = mustJSON(ConfigOutputs(seen))
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("ovs: a value that is no JSON: " + err.Error())
	}
	return b
}

func configKind() step.Kind {
	return step.Kind{
		Name:    "ovs_config",
		Summary: "Open vSwitch's own configuration: other_config and external_ids of the table Open_vSwitch, and its OVSDB managers.",
		Doc: `Keys that are not named stay as they are. The step is done when ovs-vswitchd has taken the configuration in.

Keys that ovs-vswitchd reads only when it starts (` + "`dpdk-init`, `dpdk-socket-mem`, `hw-offload`, …" + `) raise the need to restart
` + "`ovs-vswitchd.service`" + `, a dataplane outage of seconds; it is settled once, at the end of the play or where a step asks for it. The plan names the
virtual machines that it hits, and a host where there are any is changed only by ` + "`--allow-disruption`" + `.

With ` + "`dpdk-init`" + ` "true" the step is done when ovs-vswitchd says that DPDK is at work; where it does not come up, the error shows what it logged.
Before anything is written, what DPDK is to stand on is looked at: whether the ovs-vswitchd that the next start takes was built with DPDK; the free
huge pages of each NUMA node and size, for ` + "`dpdk-socket-mem`" + ` or ` + "`dpdk-alloc-mem`" + ` (1024 MB a node before Open vSwitch 2.17 where both are left out) and for the
virtual machines that start with the host and do not run yet; and that the processors of ` + "`pmd-cpu-mask`" + ` and ` + "`dpdk-lcore-mask`" + ` are online. DPDK takes pages of
a size that a hugetlbfs is mounted for (any, since Open vSwitch 2.17 and without --legacy-mem), and a virtual machine those of its own size alone. A shortfall is an error that names the node, what is wanted and what
is there. Processors that are not isolated, and NICs on a node without a polling thread or memory, are warnings. In ` + "`dpdk-extra`" + ` these are understood:
` + "`--no-huge`, `--socket-mem`, `-m`, `--huge-dir`, `--in-memory`, `--file-prefix`" + `.

` + "`managers`" + ` are rows of the table Manager, which ovsdb-server keeps over a restart (what ` + "`ovs-appctl add-remote`" + ` adds is lost). A manager
that listens is done when ovsdb-server says that it does; whoever reaches it may change the switch, so name an address. One that dials
and is not answered is a warning.

The keys are described in ovs-vswitchd.conf.db(5). A chassis of OVN is better described by ` + "`ovn_chassis`" + `, which keeps
` + "`system-id`" + ` in its file too.`,
		Spec:    ConfigSpec{},
		Outputs: ConfigOutputs{},
		Example: `step "ovs_config" "self" {
  other_config = {
    dpdk-init       = "true"
    dpdk-socket-mem = "1024,1024"
    pmd-cpu-mask    = "0x33"
    max-idle        = null
  }
  external_ids = { rack = "r12" }
  managers     = [{ target = "ptcp:6640:10.127.0.2" }]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[ConfigSpec](u)
			if err != nil {
				return nil, err
			}
			spec.Managers = spelled(spec.Managers)
			spec.Asked = true
			return step.Of("configuration of Open vSwitch", config{}, spec), nil
		},
	}
}
