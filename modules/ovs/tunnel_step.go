package ovs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// tunnelStep looks for a twin first, which an earlier step may take away.
type tunnelStep struct {
	step.Step
	want TunnelSpec
}

func (s tunnelStep) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if s.want.State.There() {
		t, err := readTables(ctx, v)
		if err != nil {
			return step.Finding{}, err
		}
		if twin, there := t.twin(s.want); there {
			return step.Finding{}, fmt.Errorf("%s is there for the same type, remote_ip, local_ip, in_key and port, and Open vSwitch would not make a second: remove %s first (`ovs-vsctl del-port %s`), or give tunnel %s another key: %w",
				twin, twin, twin, s.want.Name, step.ErrNotYet)
		}
	}
	return s.Step.Check(ctx, v)
}

// userspace is the datapath_type of bridges whose packets ovs-vswitchd forwards
// itself, with DPDK or without; others are the kernel's.
const userspace = "netdev"

// identity is what packets that come in are told apart by.
func identity(kind string, options map[string]step.Attr[string]) string {
	in := options["in_key"]
	if !in.Managed() || in.Absent() {
		in = options["key"]
	}
	return strings.Join([]string{
		kind, meant(kind, "remote_ip", options["remote_ip"]), meant(kind, "local_ip", options["local_ip"]), meant(kind, "in_key", in),
		meant(kind, "dst_port", options["dst_port"]), options["packet_type"].Or(""),
	}, " ")
}

// twin finds another tunnel at work that a tunnel could not be told from.
func (t tables) twin(want TunnelSpec) (name string, there bool) {
	p := want.port()
	home, there := named(t.bridges, want.Bridge)
	if !there {
		return "", false
	}
	mine, _ := named(t.interfaces, want.Name)
	options := optionsOf(mine)
	maps.Copy(options, p.Options)
	id := identity(want.Type.Or(row.String(mine, "type")), options)
	for _, b := range t.bridges {
		if cmp.Or(row.String(b, "datapath_type"), "system") != cmp.Or(row.String(home, "datapath_type"), "system") {
			continue
		}
		for _, i := range t.interfacesOf(b) {
			n, _ := row.Int(i, "ofport")
			if n > 0 && row.String(i, "name") != want.Name && identity(row.String(i, "type"), optionsOf(i)) == id {
				return row.String(i, "name"), true
			}
		}
	}
	return "", false
}

// optionsOf are the options of an interface.
func optionsOf(i ovsdb.Row) map[string]step.Attr[string] {
	out := map[string]step.Attr[string]{}
	for k, v := range row.Map(i, "options") {
		out[k] = step.Is(v)
	}
	return out
}

// tunnel is the resource behind ovs_tunnel: a port with attributes of its own.
type tunnel struct{}

func (tunnel) Read(ctx context.Context, v host.View, want TunnelSpec) (TunnelSpec, error) {
	p, err := port{}.Read(ctx, v, want.port())
	have := ofPort(p)
	if err != nil || !want.State.There() {
		return have, err
	}
	links, err := v.Links.List(ctx, "")
	if err != nil {
		return have, err
	}
	have.Seen.Foreign = foreign(links, want.LocalIP)
	have.Seen.Outlet, err = want.deadEnd(ctx, v, links)
	return have, err
}

// foreign is a local_ip that no link has.
func foreign(links []host.Link, local step.Attr[string]) string {
	a, err := netip.ParseAddr(local.Or(""))
	if err != nil || slices.ContainsFunc(links, func(l host.Link) bool {
		return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
	}) {
		return ""
	}
	return local.Or("")
}

// deadEnd is the device by which the host reaches the other end, where the bridge
// is the userspace datapath's and the device is no bridge of it: that datapath sends
// tunnels out by the port of a bridge alone, and drops them without a word
// (Documentation/howto/userspace-tunneling.rst).
func (s TunnelSpec) deadEnd(ctx context.Context, v host.View, links []host.Link) (string, error) {
	remote, err := netip.ParseAddr(s.RemoteIP.Or(""))
	if err != nil {
		return "", nil // flow
	}
	t, err := readTables(ctx, v)
	if err != nil {
		return "", err
	}
	if home, _ := named(t.bridges, s.Bridge); row.String(home, "datapath_type") != userspace {
		return "", nil
	}
	routes, err := v.Links.Routes(ctx, "")
	if err != nil {
		return "", err
	}
	outlet, there := host.Outlet(links, routes, remote)
	if by, _ := named(t.bridges, outlet.Name); !there || row.String(by, "datapath_type") == userspace {
		return "", nil
	}
	return outlet.Name, nil
}

func (tunnel) Diff(have, want TunnelSpec) []step.Delta {
	have = have.like(want)
	if sameOrSystem(have.Type, want.Type) {
		have.Type = want.Type
	}
	have.Persist, have.PersistBy = want.Persist, want.PersistBy // the files say it
	deltas := step.Compare(have, want)
	for _, d := range (port{}).Diff(have.port(), want.port()) {
		top, _, _ := strings.Cut(d.Path, ".")
		if d.Path == "error" || d.Path == "persist.files" || top == "devices" || strings.HasSuffix(d.Path, ".device") {
			deltas = append(deltas, d)
		}
	}
	return deltas
}

func (tunnel) Write(ctx context.Context, h host.Host, have, want TunnelSpec) error {
	p := want.like(have).port() // no other spelling of what is there
	p.Part = want.port().keep()
	return port{}.Write(ctx, h, have.port(), p)
}

func (tunnel) Advise(f *step.Finding, have, want TunnelSpec) {
	if want.State.There() {
		f.Outputs = mustJSON(TunnelOutputs{OFPort: max(have.Found.Seen.OFPort, 0)})
	}
	if have.Seen.Foreign != "" {
		f.Warnings = append(f.Warnings, "no device of this host has the local_ip "+have.Seen.Foreign+": nothing will come in")
	}
	if o := have.Seen.Outlet; o != "" {
		f.Warnings = append(f.Warnings, fmt.Sprintf("the way to %s is by %s, and nothing will go out: a userspace datapath sends tunnels by its own bridges alone; put %s into one (ovs_bridge with datapath_type = %q) and its address on that",
			want.RemoteIP.Or(""), o, o, userspace))
	}
	f.Warnings = append(f.Warnings, keptNotes(have.Kept)...)
	encapsulation := append(tunnelKeys(), "type", "bridge", "state", "tag", "protected")
	for _, d := range f.Deltas {
		top, _, _ := strings.Cut(d.Path, ".")
		if have.State.There() && (top == "options" || slices.Contains(encapsulation, d.Path)) {
			severs(f, have.Found.Seen.Beside)
		}
	}
}
