package ovs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// DPDKPortSpec is the attributes of probe_dpdk_port.
type DPDKPortSpec struct {
	Port     string   `json:"port,omitzero" weft:"label" doc:"Name of the interface: a port of type dpdk or dpdkvhostuserclient, or a member of a bond."`
	Received bool     `json:"received,omitzero" default:"true" doc:"Whether packets must have come in by it since ovs-vswitchd started."`
	Sent     bool     `json:"sent,omitzero" default:"true" doc:"Whether packets must have gone out by it since ovs-vswitchd started."`
	MACs     []string `json:"macs,omitzero" weft:"set" doc:"MAC addresses that its bridge must have learnt behind it, in any VLAN."`
	Timeout  string   `json:"timeout,omitzero" default:"20s" doc:"How long to look; Open vSwitch counts anew every five seconds."`
}

// DPDKPortOutputs is what probe_dpdk_port saw.
type DPDKPortOutputs struct {
	Received int `json:"rx_packets" doc:"Packets that came in."`
	Sent     int `json:"tx_packets" doc:"Packets that went out."`
	Queues   int `json:"queues" doc:"Receive queues that are polled."`
}

// Validate implements [step.Validator].
func (s *DPDKPortSpec) Validate() []step.Problem {
	problems := nameProblems(s.Port)
	for i := range problems {
		problems[i].Path = "port"
	}
	if d, err := time.ParseDuration(s.Timeout); s.Timeout != "" && (err != nil || d <= 0) {
		problems = append(problems, step.Problem{Path: "timeout", Message: "is no length of time", Hint: `write it as "20s"`})
	}
	for _, mac := range s.MACs {
		problems = append(problems, macProblems("macs", mac)...)
	}
	return problems
}

type dpdkProbe struct{ spec DPDKPortSpec }

// Probe implements [step.Prober].
func (p dpdkProbe) Probe(ctx context.Context, v host.View) (step.Report, error) {
	timeout, err := time.ParseDuration(p.spec.Timeout)
	if err != nil {
		timeout = 20 * time.Second
	}
	var seen DPDKPortOutputs
	err = step.Await(ctx, timeout, func() (err error) {
		v.Memo.Forget()
		seen, err = p.look(ctx, v)
		return err
	})
	if err != nil {
		return step.Report{}, err
	}
	return step.Report{
		Summary: fmt.Sprintf("%d queues polled, %d packets in, %d out", seen.Queues, seen.Received, seen.Sent),
		Outputs: mustJSON(seen),
	}, nil
}

func (p dpdkProbe) look(ctx context.Context, v host.View) (seen DPDKPortOutputs, err error) {
	wrong := func(wanted, saw, hint string) error {
		return &step.ProbeError{Wanted: wanted, Seen: saw, Hint: hint}
	}
	results, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Interface", []string{"_uuid", "name", "type", "options", "ofport", "error", "link_state", "status", "statistics"}, row.Is("name", p.spec.Port)))
	if err != nil {
		return seen, err
	}
	if len(results[0].Rows) == 0 {
		return seen, wrong("interface "+p.spec.Port, "none of that name", "")
	}
	iface := results[0].Rows[0]
	if said := portError(iface); said != "" {
		return seen, wrong("port "+p.spec.Port+" alive", said, "look at "+switchLog)
	}
	if !isDPDK(iface) {
		return seen, wrong("an interface of DPDK", p.spec.Port+" is of type "+strconv.Quote(row.String(iface, "type")), "")
	}
	said, err := unpolled(ctx, v, iface)
	if err != nil {
		return seen, err
	}
	if said != "" {
		return seen, wrong("port "+p.spec.Port+" polled", said, "")
	}
	if row.String(iface, "link_state") != "up" && row.Map(iface, "status")["status"] != "connected" {
		return seen, wrong("the link of "+p.spec.Port+" up", "it is down", linkHint(iface))
	}
	all, err := readQueues(ctx, v)
	if err != nil {
		return seen, err
	}
	for _, q := range all {
		if q.port == p.spec.Port {
			seen.Queues++
		}
	}
	seen.Received, seen.Sent = counter(iface, "statistics", "rx_packets"), counter(iface, "statistics", "tx_packets")
	switch {
	case p.spec.Received && seen.Received == 0:
		return seen, wrong("packets that came in by "+p.spec.Port, "none since ovs-vswitchd started", "is its link the one that is meant? ovs-appctl dpif-netdev/pmd-stats-show tells what its thread does")
	case p.spec.Sent && seen.Sent == 0:
		return seen, wrong("packets that went out by "+p.spec.Port, "none since ovs-vswitchd started", "")
	}
	return seen, p.learnt(ctx, v, iface)
}

// linkHint is what to look at where a link is down.
func linkHint(iface ovsdb.Row) string {
	if row.String(iface, "type") == "dpdk" {
		return "is its cable plugged in, and does the other side run?"
	}
	return "its guest is not connected (status " + row.Map(iface, "status")["status"] + "): does it run, and is its interface's source path the port's socket?"
}

// counter is a key of a column of counters.
func counter(r ovsdb.Row, column, key string) int {
	n, err := strconv.ParseFloat(row.Map(r, column)[key], 64)
	if err != nil {
		return 0
	}
	return int(n)
}

// learnt looks for MAC addresses in the table of the bridge.
func (p dpdkProbe) learnt(ctx context.Context, v host.View, iface ovsdb.Row) error {
	if len(p.spec.MACs) == 0 {
		return nil
	}
	t, err := readTables(ctx, v)
	if err != nil {
		return err
	}
	port, _ := t.portOf(iface)
	bridge, _ := t.bridgeOf(port)
	name := row.String(bridge, "name")
	said, err := v.Daemons.Ask(ctx, "ovs-vswitchd", "fdb/show", name)
	if err != nil {
		return err
	}
	numbers := map[string]bool{} // a bond learns behind any of its members
	for _, id := range row.Refs(port, "interfaces") {
		n, _ := row.Int(t.interfaces[id], "ofport")
		numbers[strconv.Itoa(n)] = true
	}
	behind := learntBy(said)
	for _, mac := range p.spec.MACs {
		at := behind[strings.ToLower(strings.ReplaceAll(mac, "-", ":"))]
		if !slices.ContainsFunc(at, func(n string) bool { return numbers[n] }) {
			saw := "bridge " + name + " has not learnt it"
			if len(at) > 0 {
				saw = "bridge " + name + " has learnt it behind OpenFlow port " + strings.Join(at, ", ")
			}
			return &step.ProbeError{Wanted: mac + " behind " + p.spec.Port, Seen: saw, Hint: "ovs-appctl fdb/show " + name + " tells what it knows"}
		}
	}
	return nil
}

// learntBy reads what `ovs-appctl fdb/show` says: the OpenFlow ports by MAC
// address.
func learntBy(said string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(said) {
		if f := strings.Fields(line); len(f) >= 4 && strings.Count(f[2], ":") == 5 {
			mac := strings.ToLower(f[2])
			out[mac] = append(out[mac], f[0])
		}
	}
	return out
}

func probeDPDKPortKind() step.Kind {
	return step.Kind{
		Name:    "probe_dpdk_port",
		Summary: "Whether a DPDK port of Open vSwitch is alive: polled, its link up, packets through it, addresses learnt behind it.",
		Doc: `A port of DPDK that has an OpenFlow port number may still be dead: nobody polls it, its cable leads nowhere, or its guest never
connected. The probe wants its receive queues polled, its link up (of a vhost-user port: the guest is connected), packets counted in both
directions since ovs-vswitchd started, and the MAC addresses that are named in the table of its bridge, behind this port or another
member of its bond.

Something has to send: put a ` + "`probe_ping`" + ` before it.`,
		Spec:    DPDKPortSpec{},
		Outputs: DPDKPortOutputs{},
		Example: `step "probe_dpdk_port" "dpdk0" {
  macs = ["52:54:00:53:00:22"]
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[DPDKPortSpec](u)
			return dpdkProbe{spec}, err
		},
	}
}
