package ovn

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/step"
)

// ChassisSpec is the attributes of an ovn_chassis.
type ChassisSpec struct {
	SystemID              step.Attr[string]            `json:"system_id,omitzero" doc:"Name of the chassis, in external_ids:system-id and in /etc/openvswitch/system-id.conf, which wins at each start of Open vSwitch. Left out, the host keeps the name it has, and has it kept in both places."`
	Hostname              step.Attr[string]            `json:"hostname,omitzero" doc:"Hostname in the chassis' row; Open vSwitch sets its own guess at its first start."`
	Remote                []string                     `json:"remote,omitzero" weft:"set" doc:"Southbound databases to connect to: \"tcp:10.127.0.2:6642\", one for each member of a cluster."`
	EncapType             step.Attr[string]            `json:"encap_type,omitzero" doc:"Tunnels that others may use to this host: geneve, vxlan, stt, or several with commas."`
	EncapIP               step.Attr[string]            `json:"encap_ip,omitzero" doc:"This host's end of the tunnels: its IP address on the underlay, or several with commas."`
	MonitorAll            step.Attr[bool]              `json:"monitor_all,omitzero" doc:"Whether ovn-controller keeps all of the southbound database, or only what concerns this host (its default)."`
	RemoteProbeInterval   step.Attr[int]               `json:"remote_probe_interval,omitzero" doc:"Milliseconds of silence after which the southbound database is asked whether it is there; 0 never asks."`
	OpenflowProbeInterval step.Attr[int]               `json:"openflow_probe_interval,omitzero" doc:"Seconds of silence after which the integration bridge is asked whether it is there; 0 never asks."`
	Bridge                step.Attr[string]            `json:"bridge,omitzero" doc:"The integration bridge; OVN's own default is br-int."`
	BridgeDatapathType    step.Attr[string]            `json:"bridge_datapath_type,omitzero" weft:"enum=system|netdev" doc:"Datapath of the integration bridge: system is the kernel's, netdev is userspace. Must be set before ovn-controller first starts."`
	BridgeMappings        map[string]step.Attr[string] `json:"bridge_mappings,omitzero" doc:"Bridges by the names of the physical networks they lead to: physnet301 = \"br-ext\". Networks that are left out stay as they are."`
	ExternalIDs           map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Further keys of Open_vSwitch.external_ids for ovn-controller(8): ovn-encap-csum, ovn-cms-options, …. Keys that are left out stay as they are."`

	Found *identity `json:"found,omitzero" weft:"found"`
	// IDFile is the whole content of system-id.conf; absent where there is
	// no such file.
	IDFile step.Attr[string] `json:"id_file,omitzero" weft:"found"`
	// Moving is the unit that is stopped for a change of the name and still to
	// be started. Where the name changes, Running is whether ovn-controller
	// runs; it is unmanaged where an undo has no business with it.
	Moving  step.Attr[string] `json:"moving,omitzero" weft:"found"`
	Running step.Attr[bool]   `json:"running,omitzero" weft:"found"`
}

// identity is what was read beyond the attributes.
type identity struct {
	Texts       map[string]string `json:"texts"`                  // external_ids as they are spelled
	Own         string            `json:"own"`                    // the name the host goes by, or would
	Running     bool              `json:"running"`                // whether ovn-controller runs
	Override    string            `json:"override,omitempty"`     // system-id-override of ovn-controller, where set
	LeadNowhere []string          `json:"lead_nowhere,omitempty"` // physical networks whose bridge is not there
}

// ChassisOutputs is what other steps may ask of an ovn_chassis.
type ChassisOutputs struct {
	SystemID   string   `json:"system_id" doc:"Name of the chassis in the southbound database."`
	EncapTypes []string `json:"encap_types" doc:"Tunnels that others may use to this host."`
	EncapIPs   []string `json:"encap_ips" doc:"This host's ends of the tunnels."`
}

func chassisKind() step.Kind {
	return step.Kind{
		Name:    "ovn_chassis",
		Summary: "What ovn-controller of this host is told: its name, the southbound database, its tunnels.",
		Doc: `The step writes keys of external_ids in the table Open_vSwitch, which ovn-controller follows
without a restart. Put it after the package openvswitch-switch and before ovn-host, whose
ovn-controller starts at once: a bridge_datapath_type that comes later finds br-int made already.

The name of the chassis is another matter. It lies in two places, and the file wins whenever Open
vSwitch starts; the step keeps both alike. Where the name changes under a running ovn-controller,
the step stops it first, which removes the old chassis from the southbound database and releases
its ports, and starts it with the new name: the plan says so. Where that was cut short, the next run
finishes it (external_ids:weft-moving says that it has to).

A remote "ssl:…" needs the key and the certificates that the row SSL of Open_vSwitch names: put an
ovsdb_ssl before it.

A host that has no name yet gets one that is made from its machine-id, so it is the same after the
Open vSwitch database was lost.`,
		Spec:    ChassisSpec{},
		Outputs: ChassisOutputs{},
		Example: `step "ovn_chassis" "self" {
  remote               = [for h in role.central : "tcp:${h.vars.underlay}:6642"]
  encap_type           = "geneve"
  encap_ip             = host.vars.underlay
  bridge_datapath_type = "netdev"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[ChassisSpec](u)
			if err != nil {
				return nil, err
			}
			want.Moving = step.None[string]()
			return step.Of("chassis of this host", chassis{}, want), nil
		},
	}
}

// Validate finds what ovn-controller would not understand.
func (s *ChassisSpec) Validate() []step.Problem {
	problems := slices.Concat(
		validRange("remote_probe_interval", s.RemoteProbeInterval, 0, 1<<31-1),
		validRange("openflow_probe_interval", s.OpenflowProbeInterval, 0, 1<<31-1),
		validKeys("external_ids", s.ExternalIDs))
	if id, ok := s.SystemID.Get(); ok {
		problems = append(problems, validName("system_id", id)...)
	}
	for _, remote := range s.Remote {
		if t, err := parseTarget(remote); err != nil || t.passive() {
			problems = append(problems, step.Problem{Path: "remote", Message: fmt.Sprintf("%q is nothing to connect to", remote), Hint: `write "tcp:10.127.0.2:6642" or "ssl:10.127.0.2:6642"`})
		}
	}
	for _, kind := range elements(s.EncapType.Or("")) {
		if !slices.Contains([]string{"geneve", "vxlan", "stt"}, kind) {
			problems = append(problems, step.Problem{Path: "encap_type", Message: fmt.Sprintf("%q is no tunnel that OVN knows", kind), Hint: "geneve is the one to use; vxlan and stt exist"})
		}
	}
	for _, ip := range elements(s.EncapIP.Or("")) {
		if !validAddress(ip) {
			problems = append(problems, step.Problem{Path: "encap_ip", Message: fmt.Sprintf("%q is not an IP address", ip), Hint: "without a prefix length"})
		}
	}
	for network, bridge := range s.BridgeMappings {
		if strings.ContainsAny(network+bridge.Or(""), ",: ") {
			problems = append(problems, step.Problem{Path: "bridge_mappings." + network, Message: "has a comma, a colon or a space, which separate mappings"})
		}
	}
	for _, known := range externalIDs() {
		if _, twice := s.ExternalIDs[known.key]; twice {
			problems = append(problems, step.Problem{Path: "external_ids." + known.key, Message: "has an attribute of its own", Hint: "use " + known.attribute})
		}
	}
	return problems
}

// elements are the parts of a list with commas.
func elements(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// sameList says whether two lists with commas mean the same.
func sameList(a, b string) bool {
	return slices.Equal(canonicalList(a), canonicalList(b))
}

func canonicalList(list string) []string {
	out := elements(list)
	for i, e := range out {
		if a, err := netip.ParseAddr(e); err == nil {
			out[i] = a.String()
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// target is the name that the chassis should have.
func (s ChassisSpec) target(have ChassisSpec) string { return s.SystemID.Or(have.Found.Own) }

func (chassis) Diff(have, want ChassisSpec) []step.Delta {
	var deltas []step.Delta
	if !want.SystemID.Managed() {
		id := want.target(have)
		if now, _ := have.SystemID.Get(); now != id {
			deltas = append(deltas, step.Change("system_id", text(have.SystemID), id))
		}
	}
	deltas = append(deltas, step.Compare(have, want)...)
	if file := wantedFile(have, want); strings.TrimSpace(file.Or("")) != strings.TrimSpace(have.IDFile.Or("")) || file.Absent() != have.IDFile.Absent() {
		deltas = append(deltas, step.Change("id_file", text(have.IDFile), text(file)))
	}
	if text(have.Moving) != text(want.Moving) {
		deltas = append(deltas, step.Change("moving", text(have.Moving), text(want.Moving)))
	}
	if up, ok := want.Running.Get(); ok && up != have.Found.Running && (up || want.Moving.Managed() && !want.Moving.Absent()) {
		deltas = append(deltas, step.Change("running", have.Found.Running, up))
	}
	return deltas
}

// wantedFile is what system-id.conf should hold: the name, or what was found.
func wantedFile(have, want ChassisSpec) step.Attr[string] {
	if want.IDFile.Managed() {
		return want.IDFile
	}
	return step.Is(want.target(have) + "\n")
}

// text is an attribute as a delta shows it.
func text(a step.Attr[string]) any {
	if v, ok := a.Get(); ok {
		return strings.TrimSpace(v)
	}
	return nil
}

// Advise answers the name of the chassis, and names what a change of it costs.
func (chassis) Advise(f *step.Finding, have, want ChassisSpec) {
	id := want.target(have)
	if have.Found.Override != "" {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s says %q, and wins over this step: remove it, or the chassis keeps that name", overrideFile, have.Found.Override))
		id = have.Found.Override
	}
	f.Outputs, _ = json.Marshal(ChassisOutputs{ // of strings
		SystemID:   id,
		EncapTypes: told(want.EncapType, have.Found.Texts["ovn-encap-type"]),
		EncapIPs:   told(want.EncapIP, have.Found.Texts["ovn-encap-ip"]),
	})
	for _, network := range have.Found.LeadNowhere {
		f.Warnings = append(f.Warnings, fmt.Sprintf("bridge %s is not there: localnet and l2gateway ports of %s lead nowhere", want.BridgeMappings[network].Or(""), network))
	}
	running := have.Found.Running
	if now, named := have.SystemID.Get(); named && now != want.target(have) && running {
		f.Cost.Disruption = fmt.Sprintf("restarts ovn-controller: chassis %s leaves the southbound database and its ports lose their connection until %s is there", now, want.target(have))
	}
	for _, d := range f.Deltas {
		switch {
		case d.Path == "bridge_datapath_type" && running:
			f.Cost.Disruption = also(f.Cost.Disruption, "the integration bridge gets another datapath: all ports on it lose their connection for a moment")
		case (d.Path == "encap_ip" || d.Path == "encap_type") && running && d.From != nil:
			f.Cost.Disruption = also(f.Cost.Disruption, "all tunnels of this host are made anew")
		}
	}
}

// told are the elements of a list with commas, as it will be.
func told(want step.Attr[string], now string) []string {
	if want.Managed() {
		now = want.Or("")
	}
	return append([]string{}, elements(now)...)
}

func also(before, next string) string {
	if before == "" {
		return next
	}
	return before + "; " + next
}
