package language

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vmInventory is an inventory with one host, which begins in line 4.
func vmInventory(host string) map[string]string {
	return map[string]string{"inv.hcl": "lab \"l\" {\n network \"net\" {}\n}\nhost \"a\" {\n" + host + "}\n"}
}

func TestVirtualMachine(t *testing.T) {
	p := load(t, vmInventory(" vm {\n  memory = 3072\n  numa_nodes = 2\n  iommu = true\n  firmware = \"uefi\"\n }\n"+
		" nic \"eth0\" {\n  network = \"net\"\n  model = \"e1000e\"\n }\n"), Inputs{})
	want := Host{VM: &VM{Memory: 3072, NUMANodes: 2, IOMMU: true, Firmware: "uefi"}, NICs: []NIC{{Name: "eth0", Network: "net", Model: "e1000e"}}}
	if d := cmp.Diff(want, Host{VM: p.Hosts[0].VM, NICs: p.Hosts[0].NICs}); d != "" {
		t.Error(d)
	}
}

func TestVirtualMachineMistakes(t *testing.T) {
	const nic = " nic \"e\" {\n  network = \"net\"\n  model = %q\n }\n"
	for host, want := range map[string]string{
		" vm {\n  memory = 64\n }\n":            "memory = 64: a virtual machine of the lab has 512 to 1048576 MiB of memory @6",
		" vm {\n  cpus = 9\n }\n":               "cpus = 9: a virtual machine of the lab has 1 to 8 processors @6",
		" vm {\n  numa_nodes = 0\n }\n":         "numa_nodes = 0: a virtual machine of the lab has 1 to 2 NUMA nodes @6",
		" vm {\n  cpus = \"many\"\n }\n":        "cpus is a whole number, 0 or more @6",
		" vm {\n  firmware = \"efi\"\n }\n":     `no virtual machine of the lab boots by "efi": firmware is bios or uefi @6`,
		" vm {}\n vm {}\n":                      `host "a" has two vm blocks @6`,
		" vm \"x\" {}\n":                        "this block is written vm { … } @5",
		fmt.Sprintf(nic, "e1000e"):              `host "a" is no virtual machine: its nics have no model @7`,
		" vm {}\n" + fmt.Sprintf(nic, "e1000f"): `the lab has no network card "e1000f": model is virtio or e1000e @8`,
	} {
		_, ds := tryLoad(vmInventory(host), Inputs{})
		var got []string
		for _, d := range ds {
			got = append(got, fmt.Sprintf("%s @%d", d.Summary, d.Range.Start.Line))
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: got\n%s\nwant\n%s", host, strings.Join(got, "\n"), want)
		}
	}
}
