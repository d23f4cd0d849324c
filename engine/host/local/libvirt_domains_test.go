package local

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"weft/engine/host"
)

// domainList is an answer with these domains: one that runs, and others that are
// only defined.
func domainList(names ...string) *xdr {
	x := new(xdr).number(uint32(len(names)))
	for i, name := range names {
		x.text(name).raw(bytes.Repeat([]byte{byte(i + 1)}, 16)).number(uint32(1 - 2*min(i, 1)))
	}
	return x.number(uint32(len(names)))
}

func TestLibvirtListsDomains(t *testing.T) {
	s := serveLibvirt(t)
	d := NewLibvirt([]string{s.socket})
	defer d.Close()
	lost := true
	s.answers(procListAllDomains, func() (uint32, []byte) {
		if lost {
			lost = false
			return hangUp, nil
		}
		return statusOK, domainList("zeta", "alpha").Bytes()
	})
	got, err := d.Domains(t.Context())
	want := []host.DomainName{{Name: "alpha", UUID: "02020202-0202-0202-0202-020202020202"}, {Name: "zeta", UUID: "01010101-0101-0101-0101-010101010101"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: %+v, want %+v", err, got, want)
	}
	if args := s.args(procListAllDomains); args != new(xdr).number(1).number(0).String() {
		t.Errorf("it asked with %q", args)
	}
	s.answers(procListAllDomains, func() (uint32, []byte) { return statusOK, domainList().Bytes() })
	if got, err := d.Domains(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("none: %v, %v", got, err)
	}
}

// TestLibvirtListsNoFewerDomains: what is no whole list is none.
func TestLibvirtListsNoFewerDomains(t *testing.T) {
	s := serveLibvirt(t)
	d := NewLibvirt([]string{s.socket})
	defer d.Close()
	whole := domainList("alpha", "zeta").Bytes()
	for what, payload := range map[string][]byte{
		"empty": nil, "cut short": whole[:len(whole)-20], "another count": append(slices.Clone(whole[:len(whole)-4]), 0, 0, 0, 3),
	} {
		s.answers(procListAllDomains, func() (uint32, []byte) { return statusOK, payload })
		if got, err := d.Domains(t.Context()); err == nil || got != nil {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	s.answers(procListAllDomains, func() (uint32, []byte) { return 1, libvirtRefusal(38, "no connection driver") })
	var refused *host.LibvirtError
	if _, err := d.Domains(t.Context()); !errors.As(err, &refused) || refused.Error() != "libvirtd refuses to list the domains: no connection driver" {
		t.Errorf("a refusal: %v", err)
	}
	if _, err := NewLibvirt([]string{filepath.Join(t.TempDir(), "nobody")}).Domains(t.Context()); !errors.Is(err, host.ErrNotReady) {
		t.Errorf("without libvirtd: %v", err)
	}
}

// FuzzLibvirtDomains reads a list as a server may send it.
func FuzzLibvirtDomains(f *testing.F) {
	f.Add(domainList("alpha", "zeta").Bytes())
	f.Add(new(xdr).number(0xffffffff).text("alpha").Bytes())
	f.Fuzz(func(t *testing.T, sent []byte) {
		all, err := (&xdrReader{rest: sent}).domains()
		if err != nil && all != nil || len(all) > len(sent)/24 {
			t.Errorf("%d domains from %d bytes, and %v", len(all), len(sent), err)
		}
		for _, d := range all {
			if len(d.UUID) != 36 {
				t.Errorf("the domain %q has the UUID %q", d.Name, d.UUID)
			}
		}
	})
}
