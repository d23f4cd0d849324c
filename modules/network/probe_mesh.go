package network

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// ProbeMeshSpec is the attributes of a probe_mesh.
type ProbeMeshSpec struct {
	Namespace string            `json:"namespace,omitzero" default:"" doc:"Network namespace to send from; the host's own where it is left out."`
	Peers     map[string]string `json:"peers,omitzero" doc:"Addresses of the ends by a name for each, this host's own among them: { for h in role.compute : h.name => h.vars.underlay }."`
	Tunnels   []string          `json:"tunnels,omitzero" weft:"set" doc:"Types of tunnels of Open vSwitch here whose far ends are meant too: geneve, vxlan, gre. Each must be alive, up where BFD watches it; every peer must have one."`
	MTU       step.Attr[int]    `json:"mtu,omitzero" doc:"Bytes of an IP packet that must pass unfragmented between the ends, header included; the MTU of the link that it leaves by where it is left out."`
	Timeout   time.Duration     `json:"timeout,omitzero" default:"60s" doc:"How long to wait until every end answers. Then, for those that do not, the size that does pass is looked for."`
}

// ProbeMeshOutputs is what other steps may ask of a probe_mesh.
type ProbeMeshOutputs struct {
	Ends []string `json:"ends" doc:"Names of the far ends that answered, sorted."`
}

func probeMeshKind() step.Kind {
	return step.Kind{
		Name:    "probe_mesh",
		Summary: "Packets of a size pass from this host to every other end of a mesh; the pairs that fail are named.",
		Doc: `Each host of a play that has this step proves its own row of the mesh, so that all of them prove every
pair, both ways. The packets have "do not fragment" set: a switch between two hosts whose MTU is too
small for what tunnels carry shows here, and not weeks later.

Ends are given by peers, found in the Interface rows of tunnels (options:remote_ip), or both: then a peer
without a tunnel is named as well. A tunnel whose remote_ip is "flow" has no end of its own. The mtu is
that under the tunnels: what guests may send, and 58 bytes more for geneve, 50 for vxlan, over IPv4.`,
		Spec:    ProbeMeshSpec{},
		Outputs: ProbeMeshOutputs{},
		Example: `step "probe_mesh" "underlay" {
  peers   = { for h in role.compute : h.name => h.vars.underlay }
  tunnels = ["geneve"]
  mtu     = 1558
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeMeshSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold, or never fail.
func (s *ProbeMeshSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if len(s.Peers) == 0 && len(s.Tunnels) == 0 {
		bad("peers", "and tunnels are missing: there is nobody to send to", "write one of them")
	}
	six := false
	for _, name := range slices.Sorted(maps.Keys(s.Peers)) {
		a, err := netip.ParseAddr(s.Peers[name])
		if err != nil {
			bad("peers."+name, fmt.Sprintf("%q is not an IP address", s.Peers[name]), "without a prefix length")
		}
		six = six || err == nil && a.Unmap().Is6()
	}
	for _, kind := range s.Tunnels {
		if !slices.Contains([]string{"geneve", "vxlan", "gre"}, kind) {
			bad("tunnels", fmt.Sprintf("%q is no type of a tunnel", kind), "geneve, vxlan, gre")
		}
	}
	problems = append(problems, validMTU(s.MTU, six)...)
	if s.Timeout <= 0 {
		bad("timeout", "is not positive", `write "60s"`)
	}
	return problems
}

// end is a far end of the mesh.
type end struct {
	name    string
	address netip.Addr
	source  netip.Addr // of the tunnel; invalid where the kernel chooses
	dead    string     // why its tunnel is none; empty where it lives

	path pathTo
	size int
	told host.PingReport
	err  error
}

// atOnce bounds the ends that are asked side by side.
const atOnce = 16

// Probe asks every end until all answer, and then what is wrong with those
// that do not.
func (s ProbeMeshSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	var ends []*end
	here := ""
	err := step.Await(ctx, s.Timeout, func() (err error) {
		if here, ends, err = s.ends(ctx, v); err == nil {
			s.each(ends, func(e *end) { e.err = s.ask(ctx, v, e) })
			err = failures(ends)
		}
		return err
	})
	if errors.As(err, new(*step.ProbeError)) && len(ends) > 0 {
		s.each(ends, func(e *end) { e.explain(ctx) })
		return step.Report{}, s.refuted(here, ends)
	}
	if err != nil {
		return step.Report{}, err
	}
	var names []string
	least := ends[0].size
	for _, e := range ends {
		names = append(names, e.name)
		least = min(least, e.size)
	}
	outputs, err := json.Marshal(ProbeMeshOutputs{names})
	return step.Report{Summary: fmt.Sprintf("%d bytes from %s to each of %s", least, here, strings.Join(names, ", ")), Outputs: outputs}, err
}

// ends are the far ends as they are known now, by name, and the name of this
// host's own.
func (s ProbeMeshSpec) ends(ctx context.Context, v host.View) (here string, ends []*end, err error) {
	links, err := v.Links.List(ctx, s.Namespace)
	if err != nil {
		return "", nil, err
	}
	own := map[netip.Addr]bool{}
	for _, l := range links {
		for _, a := range l.Addresses {
			own[a.Addr()] = true
		}
	}
	here = "this host"
	byAddress := map[netip.Addr]*end{}
	for _, name := range slices.Sorted(maps.Keys(s.Peers)) {
		a, err := netip.ParseAddr(s.Peers[name])
		if err != nil {
			return "", nil, fmt.Errorf("the peer %s: %w", name, err)
		}
		if a = a.Unmap(); own[a] {
			here = fmt.Sprintf("%s (%s)", name, a)
			continue
		}
		e := &end{name: name, address: a}
		if len(s.Tunnels) > 0 {
			e.dead = fmt.Sprintf("there is no %s tunnel to it", strings.Join(s.Tunnels, " or "))
		}
		byAddress[a], ends = e, append(ends, e)
	}
	if len(s.Tunnels) > 0 {
		tunnels, err := s.tunnels(ctx, v)
		if err != nil {
			return here, nil, err
		}
		for _, t := range tunnels {
			if e := byAddress[t.address]; e != nil {
				e.source, e.dead = t.source, t.dead
			} else {
				byAddress[t.address], ends = t, append(ends, t)
			}
		}
	}
	if len(ends) == 0 {
		return here, nil, &step.ProbeError{Wanted: "a far end of the mesh", Seen: "none but this host",
			Hint: "are the tunnels made yet (`ovs-vsctl show`), and do peers name more than one host?"}
	}
	slices.SortFunc(ends, func(a, b *end) int { return cmp.Or(strings.Compare(a.name, b.name), a.address.Compare(b.address)) })
	return here, ends, nil
}

// tunnels are the far ends of the tunnels of Open vSwitch, one of each address:
// that of a dead one where there are several.
func (s ProbeMeshSpec) tunnels(ctx context.Context, v host.View) ([]*end, error) {
	found, err := v.OVSDB.Select(ctx, host.OpenVSwitch, row.Select("Interface", []string{"name", "type", "options", "ofport", "error", "bfd", "bfd_status"}))
	if err != nil {
		return nil, err
	}
	var ends []*end
	for _, r := range found[0].Rows {
		options := row.Map(r, "options")
		remote, err := netip.ParseAddr(options["remote_ip"])
		if !slices.Contains(s.Tunnels, row.String(r, "type")) || err != nil {
			continue
		}
		e := &end{name: row.String(r, "name"), address: remote.Unmap()}
		if local, err := netip.ParseAddr(options["local_ip"]); err == nil {
			e.source = local.Unmap()
		}
		if port, _ := row.Int(r, "ofport"); row.String(r, "error") != "" || port <= 0 {
			e.dead = fmt.Sprintf("its tunnel %s is dead: %s", e.name, cmp.Or(row.String(r, "error"), fmt.Sprintf("its ofport is %d", port)))
		} else if said := row.Map(r, "bfd_status"); row.Map(r, "bfd")["enable"] == "true" && said["state"] != "up" {
			e.dead = fmt.Sprintf("its tunnel %s is %s, says BFD (%s)", e.name, cmp.Or(said["state"], "not watched yet"), cmp.Or(said["diagnostic"], "no diagnostic"))
		}
		i := slices.IndexFunc(ends, func(o *end) bool { return o.address == e.address })
		switch {
		case i < 0:
			ends = append(ends, e)
		case e.dead != "":
			ends[i] = e
		}
	}
	return ends, nil
}

// each calls act for all ends, some of them side by side.
func (s ProbeMeshSpec) each(ends []*end, act func(*end)) {
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for _, e := range ends {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			act(e)
		})
	}
	all.Wait()
}

func (s ProbeMeshSpec) ask(ctx context.Context, v host.View, e *end) (err error) {
	if e.path, err = findPath(ctx, v, s.Namespace, e.address); err != nil {
		return err
	}
	e.path.source, e.size = e.source, s.MTU.Or(e.path.outletMTU())
	return e.path.carries(ctx, e.size, &e.told)
}

// explain finds out why an end does not answer.
func (e *end) explain(ctx context.Context) {
	if e.size == 0 || !errors.As(e.err, new(*step.ProbeError)) {
		return
	}
	if l, err := e.path.measure(ctx, e.size, e.told); err == nil {
		e.err = errors.New(e.path.blame(l))
	}
}

// failures is an error where an end is dead or does not answer: that of the
// machine where it cannot even ask.
func failures(ends []*end) error {
	failed := false
	for _, e := range ends {
		if e.err != nil && !errors.As(e.err, new(*step.ProbeError)) {
			return fmt.Errorf("ask %s (%s): %w", e.name, e.address, e.err)
		}
		failed = failed || e.err != nil || e.dead != ""
	}
	if failed {
		return &step.ProbeError{}
	}
	return nil
}

func (s ProbeMeshSpec) refuted(here string, ends []*end) error {
	var faults []string
	for _, e := range ends {
		why := e.dead
		if e.err != nil {
			why = strings.TrimPrefix(why+"; "+e.err.Error(), "; ")
		}
		if why != "" {
			faults = append(faults, fmt.Sprintf("%s → %s (%s): %s", here, e.name, e.address, why))
		}
	}
	return &step.ProbeError{
		Wanted: fmt.Sprintf("an unfragmented way from %s to each of %d ends", here, len(ends)),
		Seen:   fmt.Sprintf("%d of %d pairs fail: %s", len(faults), len(ends), strings.Join(faults, "; ")),
		Hint:   "compare the MTU and the cabling of those two hosts' links and of the switch between them",
	}
}
