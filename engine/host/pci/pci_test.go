package pci_test

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/pci"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0000:01:00.0": "0000:01:00.0", "01:00.0": "0000:01:00.0", "0001:AB:1F.7": "0001:ab:1f.7", "10000:e1:00.0": "10000:e1:00.0",
		"": "", "1:00.0": "", "01:00": "", "01:00.8": "", "01:20.0": "", "eth0": "", "0000:01:00.0/../x": "",
	} {
		if got, err := pci.Address(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func TestRead(t *testing.T) {
	m := fake.New()
	k := m.Host().Kernel
	if all, err := pci.List(t.Context(), k); err != nil || len(all) != 0 {
		t.Errorf("without a bus: %v, %v", all, err)
	}
	m.AddPCI(fake.PCIDevice{Address: "0000:01:00.0", Vendor: "8086", Model: "10d3", Class: "020000", Native: "e1000e", Driver: "e1000e", Group: "7",
		Link: host.Link{Name: "ens1", MAC: "52:54:00:00:00:01"}})
	m.AddPCI(fake.PCIDevice{Address: "0000:01:00.1", Vendor: "8086", Model: "10d3", Class: "020000", Group: "7"})
	m.SetKernel("/sys/bus/pci/devices/0000:01:00.0/net/ens1/bonding_slave/perm_hwaddr", "52:54:00:AA:00:01\n")

	d, err := pci.Read(t.Context(), k, "0000:01:00.0")
	want := pci.Device{Address: "0000:01:00.0", Vendor: "8086", Model: "10d3", Class: "020000", Driver: "e1000e", Group: "7",
		Links: []pci.Link{{Name: "ens1", MAC: "52:54:00:aa:00:01"}}}
	if err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := pci.Read(t.Context(), k, "0000:09:00.0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a device that is not there: %v", err)
	}
	if members, err := pci.Group(t.Context(), k, "7"); err != nil || len(members) != 2 {
		t.Errorf("the group has %v, %v", members, err)
	}
}

func TestReserved(t *testing.T) {
	for regions, want := range map[string]bool{
		"0x00000000fee00000 0x00000000feefffff msi\n":                                                    false,
		"0x00000000000e8000 0x00000000000e8fff direct\n0x00000000fee00000 0x00000000feefffff msi\n":      true,
		"0x00000000bdf6f000 0x00000000bdf7efff direct-relaxable\n0x00000000fee00000 0x00000000f msi\n\n": false,
	} {
		m := fake.New()
		m.SetKernel("/sys/kernel/iommu_groups/3/reserved_regions", regions)
		if got, err := pci.Reserved(t.Context(), m.Host().Kernel, "3"); err != nil || got != want {
			t.Errorf("%q: %v, %v", regions, got, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("0000:01:00.0")
	f.Add("01:00.0\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := pci.Address(text)
		if err != nil {
			return
		}
		if again, err := pci.Address(a); err != nil || again != a {
			t.Fatalf("%q is %q, then %q", text, a, again)
		}
		if strings.ContainsAny(a, "/ \n") {
			t.Fatalf("%q", a)
		}
	})
}
