package libvirt

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/host/xmltree"
	"weft/engine/step"
)

func parse(t testing.TB, text string) *xmltree.Node {
	t.Helper()
	n, err := xmltree.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFound(t *testing.T) {
	for _, c := range []struct {
		what, want, have string
		parts            map[string]string // "" stands for absent
	}{
		{
			"units", `<domain><memory unit="MiB">512</memory><currentMemory>1</currentMemory></domain>`,
			`<domain><memory unit="KiB">524288</memory><currentMemory unit="KiB">2</currentMemory></domain>`,
			map[string]string{"memory": "524288 KiB", "currentMemory": "2 KiB"},
		},
		{
			"sizes in attributes", `<domain><cpu><numa><cell id="0" cpus="0-1" memory="1" unit="GiB"/></numa></cpu><memoryBacking><hugepages><page size="2" unit="M"/></hugepages></memoryBacking></domain>`,
			`<domain><memoryBacking><hugepages><page size="2048" unit="KiB"/></hugepages></memoryBacking><cpu><numa><cell id="0" cpus="0-1" memory="1048576" unit="KiB"/></numa></cpu></domain>`,
			map[string]string{
				"cpu.numa.cell[0]@id": "0", "cpu.numa.cell[0]@cpus": "0-1", "cpu.numa.cell[0]@memory": "1048576 KiB",
				"memoryBacking.hugepages.page@size": "2048 KiB",
			},
		},
		{
			"machines", `<domain><os><type machine="q35">hvm</type></os></domain>`, `<domain><os><type arch="x86_64" machine="pc-q35-7.2">hvm</type></os></domain>`,
			map[string]string{"os.type@machine": "q35", "os.type": "hvm"},
		},
		{
			"an order that means nothing", `<d><disk><target dev="vdb"/></disk><disk><target dev="vda"/></disk></d>`,
			`<d><disk><target dev="vda" bus="virtio"/></disk><disk><target dev="vdb"/></disk></d>`,
			map[string]string{"disk[vdb].target@dev": "vdb", "disk[vda].target@dev": "vda"},
		},
		{
			"an order that means something", `<os><boot dev="network"/><boot dev="hd"/></os>`, `<os><boot dev="hd"/></os>`,
			map[string]string{"boot@dev": "hd", "boot[2]@dev": ""},
		},
		{
			"numbers", `<address slot="0x3" bus="16"/>`, `<address slot="0x03" bus="0x10"/>`,
			map[string]string{"@slot": "0x3", "@bus": "16"},
		},
		{
			"presence", `<features><acpi/><apic/></features>`, `<features><acpi/></features>`,
			map[string]string{"acpi": "here", "apic": ""},
		},
		{
			"other namespaces", `<domain xmlns:qemu="urn:q"><qemu:commandline><qemu:arg value="-s"/></qemu:commandline><metadata><a b="1" c="2"/></metadata></domain>`,
			`<domain xmlns:qemu="urn:q"><metadata><a c="2" b="1"/></metadata><qemu:commandline><qemu:arg value="-S"/></qemu:commandline></domain>`,
			map[string]string{
				"@xmlns:qemu": "urn:q", "metadata.a": `<a b="1" c="2"/>`,
				"qemu:commandline": "<qemu:commandline>\n  <qemu:arg value=\"-S\"/>\n</qemu:commandline>",
			},
		},
		{
			"a device by its address", `<hostdev><source><address bus="0x08" slot="0x00"/></source></hostdev>`, `<d/>`,
			map[string]string{"source.address@bus": "", "source.address@slot": ""},
		},
	} {
		want := parts{}
		for path, v := range c.parts {
			switch v {
			case "":
				want[path] = step.None[string]()
			case "here":
				want[path] = step.Is("")
			default:
				want[path] = step.Is(v)
			}
		}
		got := found(parse(t, c.want), parse(t, c.have))
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b step.Attr[string]) bool { return a == b })); d != "" {
			t.Errorf("%s:\n%s", c.what, d)
		}
	}
}

func TestImpose(t *testing.T) {
	for _, c := range []struct{ what, base, want, out string }{
		{"an attribute", `<d><cpu mode="a" check="b"/></d>`, `<d><cpu mode="c"/></d>`, `<d><cpu mode="c" check="b"/></d>`},
		{"a size", `<d><memory unit="KiB">1</memory></d>`, `<d><memory unit="MiB">1</memory></d>`, `<d><memory unit="KiB">1024</memory></d>`},
		{
			"a device behind its like", `<devices><disk><target dev="vda"/></disk><rng/></devices>`, `<devices><disk type="file"><target dev="vdb"/></disk></devices>`,
			`<devices><disk><target dev="vda"/></disk><disk type="file"><target dev="vdb"/></disk><rng/></devices>`,
		},
		{"what is there", `<d><features><apic/></features></d>`, `<d><features><acpi/></features></d>`, `<d><features><apic/><acpi/></features></d>`},
		{"another namespace", `<d><q:c x="1"/></d>`, `<d><q:c y="1"/></d>`, `<d><q:c y="1"/></d>`},
	} {
		base, want := parse(t, c.base), parse(t, c.want)
		before, was := base.Clone(), found(want, base)
		impose(base, want, named(want))
		if got := base.String(); got != parse(t, c.out).String() {
			t.Errorf("%s: got %s", c.what, got)
		}
		impose(base, want, was)
		if base.String() != before.String() {
			t.Errorf("%s: it did not go back: %s", c.what, base)
		}
	}
}

// FuzzImpose gives any definition the parts of any other: it then has them, and
// nothing else is found of it.
func FuzzImpose(f *testing.F) {
	f.Add(tiny, otherDomain)
	f.Add(`<d><boot dev="a"/><boot dev="b"/><q:x/></d>`, `<d><boot/><metadata><a/></metadata></d>`)
	f.Fuzz(func(t *testing.T, wanted, there string) {
		want, err := xmltree.Parse(wanted)
		if err != nil {
			return
		}
		base, err := xmltree.Parse(there)
		if err != nil {
			return
		}
		found(want, base)
		impose(base, want, named(want))
		if _, err := xmltree.Parse(base.String()); err != nil {
			t.Errorf("%q with the parts of %q is no XML: %v", there, wanted, err)
		}
	})
}
