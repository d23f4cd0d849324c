package network

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
)

// scene is all that belongs to a fake VM, as it was found.
type scene struct {
	namespace bool // there is one of its name
	inside    []host.Link
	outside   []host.Link
	routes    []host.Route // of the VM's end

	port   *host.Link // the bridge's end, in the host's own namespace
	end    *host.Link // the VM's end
	endIn  string     // the namespace that the VM's end is in
	bridge ovsdb.Row  // that has the port
	rows   [2]ovsdb.Row

	echo     string // text of the unit file; empty where there is none
	echoing  bool   // whether the service runs
	loopback bool   // whether the namespace's is up
}

func (s *scene) portRow() ovsdb.Row      { return s.rows[0] }
func (s *scene) interfaceRow() ovsdb.Row { return s.rows[1] }

// plugged says how the VM is plugged in: "veth", "internal", or "" for not.
func (s *scene) plugged() string {
	switch {
	case s.interfaceRow() != nil && row.String(s.interfaceRow(), "type") == "internal":
		return "internal"
	case s.port != nil && s.port.Kind == "veth", s.end != nil && s.end.Kind == "veth":
		return "veth"
	}
	return ""
}

// empty says whether nothing of the VM is there.
func (s *scene) empty() bool {
	return !s.namespace && s.portRow() == nil && s.port == nil && s.echo == ""
}

// look reads the scene of a VM.
func look(ctx context.Context, v host.View, vm FakeVMSpec) (*scene, error) {
	s := &scene{}
	if err := s.lookAtRows(ctx, v, vm); err != nil {
		return nil, err
	}
	if err := s.lookAtLinks(ctx, v, vm); err != nil {
		return nil, err
	}
	return s, s.lookAtEcho(ctx, v, vm)
}

func (s *scene) lookAtRows(ctx context.Context, v host.View, vm FakeVMSpec) error {
	name := vm.Port.Or("")
	results, err := v.OVSDB.Select(ctx, host.OpenVSwitch,
		row.Select("Port", nil, row.Is("name", name)), row.Select("Interface", nil, row.Is("name", name)))
	if errors.Is(err, host.ErrNotReady) && !vm.State.There() {
		return nil // without Open vSwitch there is no port
	}
	if err != nil {
		return err
	}
	for i := range s.rows {
		if len(results[i].Rows) > 0 {
			s.rows[i] = results[i].Rows[0]
		}
	}
	if s.portRow() == nil {
		return nil
	}
	results, err = v.OVSDB.Select(ctx, host.OpenVSwitch,
		row.Select("Bridge", []string{"_uuid", "name"}, row.Includes("ports", row.UUIDs(row.ID(s.portRow())))))
	if err == nil && len(results[0].Rows) > 0 {
		s.bridge = results[0].Rows[0]
	}
	return err
}

func (s *scene) lookAtLinks(ctx context.Context, v host.View, vm FakeVMSpec) error {
	namespaces, err := v.Links.Namespaces(ctx)
	if err != nil {
		return err
	}
	if s.outside, err = v.Links.List(ctx, ""); err != nil {
		return err
	}
	if s.namespace = slices.Contains(namespaces, vm.Name); s.namespace {
		if s.inside, err = v.Links.List(ctx, vm.Name); err != nil {
			return err
		}
	}
	if lo := named(s.inside, "lo"); lo != nil {
		s.loopback = lo.Up
	}
	s.findEnds(vm)
	if s.end == nil {
		return nil
	}
	routes, err := v.Links.Routes(ctx, s.endIn)
	for _, r := range routes {
		if r.Link == s.end.Name && r.Via.IsValid() {
			s.routes = append(s.routes, r)
		}
	}
	return err
}

// findEnds finds the VM's end wherever it is: a killed run may have left it in
// the host's own namespace, and Open vSwitch makes internal ports there.
func (s *scene) findEnds(vm FakeVMSpec) {
	s.port = named(s.outside, vm.Port.Or(""))
	if s.interfaceRow() != nil && row.String(s.interfaceRow(), "type") == "internal" {
		s.end, s.endIn = s.port, ""
		s.port = nil
		if s.end == nil {
			s.end, s.endIn = named(s.inside, vm.Port.Or("")), vm.Name
		}
		return
	}
	if s.port == nil || s.port.Kind != "veth" {
		s.port = nil // somebody else's
		return
	}
	for i, l := range s.inside {
		if l.Kind == "veth" && l.Index == s.port.Peer && l.Peer == s.port.Index {
			s.end, s.endIn = &s.inside[i], vm.Name
			return
		}
	}
	for i, l := range s.outside {
		if l.Kind == "veth" && l.Index == s.port.Peer && l.Peer == s.port.Index && l.Name == waiting(vm) {
			s.end, s.endIn = &s.outside[i], ""
		}
	}
	if s.end == nil && s.portRow() == nil {
		s.port = nil // somebody else's
	}
}

// waiting is the name of the VM's end before it is moved. It must not be that
// of any link of the host, so it is made of the port's.
func waiting(vm FakeVMSpec) string {
	name := vm.Port.Or("")
	if len(name) > 13 {
		sum := fnv.New32a()
		sum.Write([]byte(name))
		name = fmt.Sprintf("%s%05x", name[:8], sum.Sum32()&0xfffff)
	}
	return "w." + name
}

func named(links []host.Link, name string) *host.Link {
	for i := range links {
		if links[i].Name == name {
			return &links[i]
		}
	}
	return nil
}

func (s *scene) lookAtEcho(ctx context.Context, v host.View, vm FakeVMSpec) error {
	text, err := v.Files.Read(ctx, echoPath(vm.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.echo = string(text)
	unit, err := v.Units.Unit(ctx, echoUnit(vm.Name))
	s.echoing = unit.ActiveState == "active" && unit.SubState == "running"
	return err
}

// strangers are the links in the namespace that are not the VM's. The kernel
// makes some in every namespace by itself where their modules are loaded.
func (s *scene) strangers() []string {
	var names []string
	for i := range s.inside {
		l := &s.inside[i]
		own := l.Name == "lo" || l == s.end
		if byItself := slices.Contains([]string{"ipip", "gre", "gretap", "erspan", "sit", "ip6tnl", "ip6gre", "ip6gretap", "vti", "vti6"}, l.Kind) && !l.Up; !own && !byItself {
			names = append(names, l.Name)
		}
	}
	return names
}

// gateway is the default route's of one family, the one with the least metric.
func (s *scene) gateway(like netip.Addr) (via host.Route, ok bool) {
	for _, r := range s.routes {
		if r.Destination.Bits() == 0 && r.Via.Is4() == like.Is4() && (!ok || r.Metric < via.Metric) {
			via, ok = r, true
		}
	}
	return via, ok
}

// route is the route to a network.
func (s *scene) route(to string) (via host.Route, ok bool) {
	for _, r := range s.routes {
		if r.Destination.String() == to {
			return r, true
		}
	}
	return via, false
}

func texts(addresses []netip.Prefix) []string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a.String()
	}
	slices.Sort(out)
	return out
}

// alive says whether ovs-vswitchd has the port in its datapath, and if not,
// why.
func (s *scene) alive() (ok bool, why string) {
	if s.interfaceRow() == nil {
		return false, "the interface has no row"
	}
	if text := row.String(s.interfaceRow(), "error"); text != "" {
		return false, strings.TrimSpace(text)
	}
	if port, _ := row.Int(s.interfaceRow(), "ofport"); port <= 0 {
		return false, fmt.Sprintf("its ofport is %d", port)
	}
	return true, ""
}
