package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// ProbeDHCPSpec is the attributes of a probe_dhcp.
type ProbeDHCPSpec struct {
	Namespace string               `json:"namespace,omitzero" default:"" doc:"Network namespace of the link, as of a fake_vm; the host's own where it is left out."`
	Link      string               `json:"link" weft:"required" doc:"The link that asks: eth0 of a fake_vm."`
	Family    string               `json:"family,omitzero" default:"ipv4" weft:"enum=ipv4|ipv6" doc:"ipv4 asks by DHCP, ipv6 by DHCPv6 and for what routers advertise."`
	MAC       step.Attr[string]    `json:"mac,omitzero" doc:"Ethernet address that asks; the link's own where it is left out. Under port security it must be the logical port's."`
	Expect    step.Attr[LeaseSpec] `json:"expect,omitzero" doc:"What the offer must say; anything where it is left out."`
	Request   bool                 `json:"request,omitzero" default:"false" doc:"Whether to take the lease that was offered, and to release it again. Not for a link whose own client has a lease."`
	Listen    time.Duration        `json:"listen,omitzero" default:"1s" doc:"How long to go on listening once somebody answered: another server, or router, that says something else is a rogue. One that is never asked advertises itself now and then only: \"20s\" hears more of them."`
	Timeout   time.Duration        `json:"timeout,omitzero" default:"30s" doc:"How long to ask until what is expected is offered."`
}

// LeaseSpec is what a guest must be offered.
type LeaseSpec struct {
	Address   step.Attr[string]        `json:"address,omitzero" doc:"The address, or a network that it must lie in. With ipv6 absent says that DHCPv6 gives none."`
	Router    step.Attr[string]        `json:"router,omitzero" doc:"The default router: with ipv6 the link-local address that advertises itself. absent for none."`
	DNS       step.Attr[[]string]      `json:"dns,omitzero" weft:"set" doc:"The addresses of all name servers. absent for none."`
	MTU       step.Attr[int]           `json:"mtu,omitzero" doc:"The MTU, bytes. absent where none is said."`
	LeaseTime step.Attr[time.Duration] `json:"lease_time,omitzero" doc:"How long the address may be used: \"1h\". With ipv6 its valid lifetime."`
	Server    step.Attr[string]        `json:"server,omitzero" doc:"The server, and no other one: its identifier, with ipv6 the address that it answers from."`
	Prefix    step.Attr[string]        `json:"prefix,omitzero" doc:"With ipv6: a network that a router advertises for the link."`
	Managed   step.Attr[bool]          `json:"managed,omitzero" doc:"With ipv6: whether routers say that addresses come by DHCPv6."`
}

// ProbeDHCPOutputs is what other steps may ask of a probe_dhcp. What was not said
// is empty or zero.
type ProbeDHCPOutputs struct {
	Address   string   `json:"address" doc:"Address that was offered."`
	Network   string   `json:"network" doc:"Network that it lies in, with the prefix length: \"172.16.1.0/24\"."`
	Server    string   `json:"server" doc:"Who offered it."`
	Router    string   `json:"router" doc:"The first default router."`
	DNS       []string `json:"dns" doc:"Name servers."`
	MTU       int      `json:"mtu" doc:"MTU of the link, bytes."`
	LeaseTime int      `json:"lease_time" doc:"How long the address may be used, seconds; 4294967295 for ever."`
	Managed   bool     `json:"managed" doc:"With ipv6: whether routers say that addresses come by DHCPv6."`
}

func probeDHCPKind() step.Kind {
	return step.Kind{
		Name:    "probe_dhcp",
		Summary: "A guest that asks for an address is offered the right one, by the right server.",
		Doc: `The probe asks on a link as a guest does and holds what it is offered against expect. It asks alone, so that
no server notes a lease: DISCOVER and OFFER, or SOLICIT and ADVERTISE. With request = true it goes on to the lease and
releases it again, unless the link has that address itself. A server tells clients apart by their Ethernet address (with
ipv6 by a DUID made of it), so the address is the one that a guest with that Ethernet address gets.

All servers that answer are heard. Where they offer another network, router, name server or MTU the error names them,
with their Ethernet addresses: one is a rogue.

With family = "ipv6" a router must advertise itself, unless router = absent. An address by DHCPv6 is then wanted where
routers say that addresses are managed, or where expect or request speaks of one.

Frames are sent and heard in process, whatever addresses and firewall the namespace has; no DHCP client is needed.`,
		Spec:    ProbeDHCPSpec{},
		Outputs: ProbeDHCPOutputs{},
		Example: `step "probe_dhcp" "vm1-lease" {
  namespace = "vm1"
  link      = "eth0"
  expect = {
    address    = "172.16.1.0/24"
    router     = "172.16.1.254"
    dns        = ["9.9.9.9"]
    mtu        = 1442
    lease_time = "1h"
    server     = "172.16.1.254"
  }
}`,
		Probe: func(u step.Unit) (step.Prober, error) {
			spec, err := step.Decode[ProbeDHCPSpec](u)
			return spec, err
		},
	}
}

// Validate finds a probe that could never hold.
func (s *ProbeDHCPSpec) Validate() []step.Problem {
	var problems []step.Problem
	bad := func(path, message, hint string) {
		problems = append(problems, step.Problem{Path: path, Message: message, Hint: hint})
	}
	if s.Link == "" {
		bad("link", "is empty", "")
	}
	if text, ok := s.MAC.Get(); ok {
		if mac, err := net.ParseMAC(text); err != nil || len(mac) != 6 {
			bad("mac", fmt.Sprintf("%q is not an Ethernet address", text), "write it as 02:00:00:00:00:01")
		}
	}
	if s.Timeout <= 0 {
		bad("timeout", "is not positive", `write "30s"`)
	}
	if s.Listen < 0 || s.Listen > s.Timeout {
		bad("listen", "is not from 0 to the timeout", `write "1s"`)
	}
	if e, ok := s.Expect.Get(); ok {
		e.validate(s.Family == "ipv6", bad)
		if s.Request && e.Address.Absent() {
			bad("request", "is for an address, and expect.address is absent", "")
		}
	}
	return problems
}

func (e LeaseSpec) validate(six bool, bad func(path, message, hint string)) {
	network := func(path string, a step.Attr[string]) {
		text, ok := a.Get()
		if n, err := networkOf(text); ok && (err != nil || n.Addr().Is6() != six) {
			bad(path, fmt.Sprintf("%q is neither an address nor a network of the family", text), `write "172.16.1.11" or "172.16.1.0/24"`)
		}
	}
	address := func(path, text string) {
		if a, err := netip.ParseAddr(text); err != nil || a.Unmap().Is6() != six {
			bad(path, fmt.Sprintf("%q is not an address of the family", text), "without a prefix length")
		}
	}
	network("expect.address", e.Address)
	network("expect.prefix", e.Prefix)
	if router, ok := e.Router.Get(); ok {
		address("expect.router", router)
	}
	if server, ok := e.Server.Get(); ok {
		address("expect.server", server)
	}
	for _, dns := range e.DNS.Or(nil) {
		address("expect.dns", dns)
	}
	if e.Server.Absent() {
		bad("expect.server", "is absent", "leave it out for any server")
	}
	if e.Address.Absent() && (!six || e.Router.Absent() || e.needsAddress()) {
		bad("expect.address", "is absent, and then nobody has to answer", "leave it out for any address")
	}
	if !six && e.Prefix.Managed() {
		bad("expect.prefix", `is for family = "ipv6"`, "address may be a network")
	}
	if !six && e.Managed.Managed() {
		bad("expect.managed", `is for family = "ipv6"`, "")
	}
}

// A dhcp is how one family asks for addresses.
type dhcp interface {
	// offers asks, and returns what each server said that answered.
	offers(ctx context.Context) ([]lease, error)
	// take asks a server for what it offered, and returns what it gave.
	take(ctx context.Context, offer lease) (lease, error)
	// release gives it back.
	release(ctx context.Context, given lease) error
}

// Probe asks until what is expected is offered, or a rogue is met: that one does not
// go away, and may not be heard in every round.
func (s ProbeDHCPSpec) Probe(ctx context.Context, v host.View) (step.Report, error) {
	began, id := time.Now(), rand.Uint32()
	var report step.Report
	var rogue rogueError
	err := step.Await(ctx, s.Timeout, func() (err error) {
		report, err = s.round(ctx, v, began, id)
		if errors.As(err, &rogue) {
			return nil
		}
		return err
	})
	if rogue.ProbeError != nil {
		err = rogue.ProbeError
	}
	return report, err
}

// round asks once. Answers to a round before are good in this one: they have the
// same transaction.
func (s ProbeDHCPSpec) round(ctx context.Context, v host.View, began time.Time, id uint32) (step.Report, error) {
	c, err := s.client(ctx, v, began)
	if err != nil {
		return step.Report{}, err
	}
	defer func() { _ = c.wire.Close() }() // it was only looked at
	expect := s.Expect.Or(LeaseSpec{})
	var d dhcp = dhcp4{client: c, id: id}
	if s.Family == "ipv6" {
		d = dhcp6{client: c, id: id, expect: expect, address: s.Request || expect.needsAddress()}
	}
	offers, err := d.offers(ctx)
	if err == nil {
		err = c.agree(offers)
	}
	for i := 0; err == nil && i < len(offers); i++ {
		err = c.holds(expect, offers[i])
	}
	if err != nil {
		return step.Report{}, err
	}
	got, end := offers[0], ""
	if s.Request {
		if got, end, err = c.borrow(ctx, d, got); err == nil {
			err = c.holds(expect, got)
		}
	}
	if err != nil {
		return step.Report{}, err
	}
	outputs, err := json.Marshal(got.outputs())
	return step.Report{Summary: got.String() + end, Outputs: outputs}, err
}

// borrow takes what was offered and releases it, also where its server did not say
// that it gave it: it may have noted the lease.
func (c *client) borrow(ctx context.Context, d dhcp, offer lease) (lease, string, error) {
	got, err := d.take(ctx, offer)
	if c.has(offer.address) {
		return got, "; taken, and not released, for the link has that address", err
	}
	released := offer
	if err == nil {
		released = got
	}
	if releaseErr := d.release(context.WithoutCancel(ctx), released); err == nil {
		err = releaseErr
	}
	return got, "; taken and released", err
}
