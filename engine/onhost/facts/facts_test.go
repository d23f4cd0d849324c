package facts

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
)

func TestCollect(t *testing.T) {
	m := fake.New()
	m.SetKernel("/proc/sys/kernel/hostname", "h1")
	m.SetKernel("/proc/sys/kernel/arch", "aarch64")
	m.SetKernel("/proc/sys/kernel/osrelease", "6.1.0-9-arm64")
	m.SetKernel("/proc/sys/kernel/random/boot_id", "b-1")
	m.SetKernel("/sys/devices/system/cpu/online", "0-2,5")
	m.SetKernel("/proc/meminfo", "MemTotal:        2048000 kB\nMemFree: 1 kB")
	m.SetKernel("/proc/modules", "openvswitch 1 2 - Live 0x0\ntun 1 0 - Live 0x0")
	m.Mkdir("/lib/modules/6.1.0-9-arm64")
	m.WriteFile("/lib/modules/6.1.0-9-arm64/modules.builtin", "kernel/drivers/vhost/vhost-net.ko\n")
	m.WriteFile("/etc/machine-id", "abc\n")
	m.WriteFile("/etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\nVERSION_CODENAME=jammy\n")
	m.Mkdir("/var/lib/dpkg")
	m.WriteFile("/var/lib/dpkg/status", "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n")
	m.AddLink("", host.Link{Name: "eth0", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})

	got, err := Collect(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	eth0 := got.Links["eth0"]
	delete(got.Links, "lo")
	delete(got.FileSystems, "/")
	delete(got.FileSystems, "/var")
	want := &host.Facts{
		Hostname: "h1", Architecture: "aarch64", Kernel: "6.1.0-9-arm64", Distribution: "ubuntu", Version: "22.04",
		Codename: "jammy", Family: "debian", MachineID: "abc", BootID: "b-1", CPUs: 4, MemoryMB: 2000,
		Links:    map[string]*host.NIC{"eth0": eth0},
		Modules:  map[string]bool{"openvswitch": true, "tun": true, "vhost_net": true},
		Packages: map[string]string{"bash": "5.2-1"},
		Virtual:  "none", Firmware: "bios", BootLoader: host.BootLoader{Name: "unknown"}, Cmdline: []string{},
		NUMA: map[string]*host.NUMANode{}, HugePages: map[string]*host.HugePages{}, PCI: map[string]*host.PCIDevice{},
		FileSystems: map[string]*host.FileSystem{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if eth0 == nil || eth0.MAC != "02:00:00:00:00:01" || !eth0.Up || !slices.Equal(eth0.Addresses, []string{"10.0.0.1/24"}) {
		t.Errorf("eth0 is %+v", eth0)
	}
}

func TestCollectOnAHostThatHasNothing(t *testing.T) {
	f, err := Collect(t.Context(), fake.New().Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if f.Architecture == "" || f.Packages != nil || f.CPUs != 0 {
		t.Errorf("got %+v", f)
	}
}

func TestRelease(t *testing.T) {
	got := parseRelease("# comment\n\nID=debian\nPRETTY_NAME=\"Debian \\\"12\\\"\"\nVERSION_ID='12'\nODD=a\\ b\n=x\nnonsense\nEMPTY=\n")
	want := map[string]string{"ID": "debian", "PRETTY_NAME": `Debian "12"`, "VERSION_ID": "12", "ODD": "a b", "EMPTY": ""}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestFamilies(t *testing.T) {
	for release, family := range map[string]string{
		"ID=debian": "debian", "ID=ubuntu": "debian", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"": "debian",
		"ID=centos\nID_LIKE=\"rhel fedora\"": "redhat", "ID=fedora": "redhat", "ID=arch": "arch", "": "",
	} {
		f := &host.Facts{}
		(&collector{}).distribution(f, parseRelease(release))
		if f.Family != family {
			t.Errorf("%q is of the family %q", release, f.Family)
		}
	}
}

func TestCPUs(t *testing.T) {
	for list, n := range map[string]int{"0": 1, "0-3": 4, "0-1,4-5\n": 4, "": 0, "x": 0, "3-1": 0, "0-99999999999": 0} {
		if got := countCPUs(list); got != n {
			t.Errorf("%q is %d", list, got)
		}
	}
}

func FuzzRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"\n")
	f.Add("A='\nB=\"\\\nC=\\")
	f.Fuzz(func(t *testing.T, text string) {
		for name := range parseRelease(text) {
			if name == "" || strings.Contains(name, "\n") {
				t.Fatalf("a name %q", name)
			}
		}
	})
}

func FuzzPackages(f *testing.F) {
	f.Add("Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nDescription: shell\n more\n .\n\nPackage: x\n")
	f.Add(":\n\n:installed\nStatus: a b installed")
	f.Fuzz(func(t *testing.T, status string) {
		for name, version := range packages(status) {
			if name == "" || strings.ContainsAny(name+version, "\n") {
				t.Fatalf("package %q version %q", name, version)
			}
		}
	})
}

func FuzzKernelFiles(f *testing.F) {
	f.Add("0-3,8", "MemTotal: 1024 kB\n", "tun 1\n", "kernel/x-y.ko\n")
	f.Fuzz(func(t *testing.T, cpulist, meminfo, loaded, builtin string) {
		if countCPUs(cpulist) < 0 || memoryOf(meminfo) < 0 {
			t.Fatal("less than nothing")
		}
		for name := range modules(loaded, builtin) {
			if name == "" || strings.ContainsAny(name, "\n") {
				t.Fatalf("a module %q", name)
			}
		}
	})
}
