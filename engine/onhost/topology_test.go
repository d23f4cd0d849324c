package onhost

import (
	"testing"

	"weft/engine/host"
	"weft/engine/wire"
)

// A session that may only look learns what the network is made of, and nothing
// is written for that.
func TestTopology(t *testing.T) {
	s := newSite(t)
	s.machine.AddLink("", host.Link{Name: "eth7", MTU: 1500, Up: true})
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Look}})
	r := c.do(wire.Request{Topology: &wire.Topology{}})
	if e := r.events[0].Topology; e == nil || len(e.Links) != 1 || e.Links[0].Name != "eth7" {
		t.Errorf("got %+v", r.events[0])
	}
	c.bye()
}
