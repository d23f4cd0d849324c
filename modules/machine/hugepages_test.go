package machine

import (
	"errors"
	"strings"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	pagesConf = "/etc/tmpfiles.d/weft-hugepages-2M.conf"
	onNode0   = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
	onNode1   = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
	onHost    = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
)

func twoNodes() *fake.Machine {
	m := fake.New()
	m.Mkdir("/etc/tmpfiles.d")
	m.AddNodes(fake.Memory{TotalKB: 4 << 20, FreeKB: 1 << 20}, fake.Memory{TotalKB: 4 << 20, FreeKB: 1 << 20})
	return m
}

// pagesOf sets the pages of 2M of node 0, the one that every machine has.
func pagesOf(name string, n string, number int) steptest.Hand {
	return steptest.Hand{
		Name: name, Fake: func(m *fake.Machine) { m.SetHugepages(0, 2048, number) },
		Host: typed(onNode0, n),
	}
}

func TestHugepagesLaws(t *testing.T) {
	const other = "w /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages - - - - 3\n"
	spelled := "# by hand\nw\t" + onNode0 + "  -  - - -\t12\n"
	laws(t, steptest.Subject{
		Kind:    hugepagesKind(),
		Machine: twoNodes,
		Policy:  []string{"size"},
		Found: []steptest.Hand{
			{Name: "none"},
			{
				Name: "some",
				Fake: together(func(m *fake.Machine) { m.SetHugepages(0, 2048, 7); m.SetHugepages(1, 2048, 2) }, wrote(pagesConf, "# mine\n"+other)),
				Host: sequence(typed(onNode0, "7"), typed(pagesConf, "# mine\n"+other)),
			},
			{
				Name: "more",
				Fake: together(func(m *fake.Machine) { m.SetHugepages(0, 2048, 30) }, wrote(pagesConf, "d /run/x 0755\n")),
				Host: sequence(typed(onNode0, "30"), typed(pagesConf, "d /run/x 0755\n")),
			},
		},
		Cases: []steptest.Case{
			{
				Name: "by node", Spec: HugepagesSpec{Size: "2M", Nodes: map[string]step.Attr[int]{"0": step.Is(12)}, Persistent: true},
				Drift: []steptest.Hand{
					pagesOf("nodes", "5", 5),
					{Name: "persistent", Fake: wrote(pagesConf, other), Host: typed(pagesConf, other)},
					{Name: "persistent", Fake: func(m *fake.Machine) { m.Remove(pagesConf) }, Host: steptest.Run("rm", "-f", pagesConf)},
				},
				Spellings: []steptest.Hand{{Name: "blanks", Fake: wrote(pagesConf, spelled), Host: typed(pagesConf, spelled)}},
			},
			{
				Name: "total", Spec: HugepagesSpec{Size: "2048kB", Pages: step.Is(16), Persistent: true},
				Drift: []steptest.Hand{pagesOf("pages", "25", 25), {Name: "persistent", Fake: wrote(pagesConf, other), Host: typed(pagesConf, other)}},
			},
			{Name: "now alone", Spec: HugepagesSpec{Size: "2MB", Pages: step.Is(4)}},
			{Name: "none", Spec: HugepagesSpec{Size: "2M", Nodes: map[string]step.Attr[int]{"0": step.Is(0)}, Persistent: true}},
		},
		Touches: steptest.Touches{Files: []string{pagesConf}, Kernel: []string{onHost, onNode0}},
		Clean:   sequence(steptest.Run("rm", "-f", pagesConf), typed(onHost, "0")),
		Borrows: "a host has one pool of pages of a size",
	})
}

func TestHugepagesShortfall(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pieces  int
		spec    HugepagesSpec
		says    []string
		succeed bool
	}{
		{
			name: "memory", spec: HugepagesSpec{Size: "1G", Nodes: map[string]step.Attr[int]{"1": step.Is(2)}},
			says: []string{"node 1: wanted 2 pages of 1G, got 1", "1024 MB are missing", "MemFree is 0 MB", "not enough memory"},
		},
		{
			name: "pieces", pieces: 1<<20 - 4<<10, spec: HugepagesSpec{Size: "2M", Nodes: map[string]step.Attr[int]{"0": step.Is(400)}},
			says: []string{"node 0: wanted 400 pages of 2M", "in pieces that are too small", "hugepagesz=2M hugepages=0:400"},
		},
		{
			name: "total", spec: HugepagesSpec{Size: "1G", Pages: step.Is(3)},
			says: []string{"the host (node 0 1, node 1 1): wanted 3 pages of 1G, got 2"},
		},
		{name: "compacted", pieces: 1 << 19, spec: HugepagesSpec{Size: "2M", Nodes: map[string]step.Attr[int]{"0": step.Is(300)}}, succeed: true},
	} {
		m := twoNodes()
		m.AddNodes(fake.Memory{TotalKB: 4 << 20, FreeKB: 1 << 20, PiecesKB: tt.pieces}, fake.Memory{TotalKB: 4 << 20, FreeKB: 1 << 20})
		s := made(t, hugepagesKind(), tt.spec)
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil {
			t.Fatal(err)
		}
		err = s.Apply(t.Context(), m.Host(), f)
		if (err == nil) != tt.succeed {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, part := range tt.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is not in: %v", tt.name, part, err)
			}
		}
	}
}

func TestHugepagesRefuses(t *testing.T) {
	m := twoNodes()
	for says, spec := range map[string]HugepagesSpec{
		"no NUMA node 7":           {Size: "2M", Nodes: map[string]step.Attr[int]{"7": step.Is(1)}},
		"node 0 has 4096 MB":       {Size: "1G", Nodes: map[string]step.Attr[int]{"0": step.Is(4)}},
		"the host has 8192 MB":     {Size: "1G", Pages: step.Is(9)},
		"no pages of 16M, only of": {Size: "16M", Pages: step.Is(9)},
	} {
		if _, err := checked(t, hugepagesKind(), m, spec); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	for want, spec := range map[string]HugepagesSpec{
		"size":    {Size: "3M", Pages: step.Is(1)},
		"pages":   {Size: "2M"},
		"nodes":   {Size: "2M", Nodes: map[string]step.Attr[int]{"node0": step.Is(1)}},
		"nodes.0": {Size: "2M", Nodes: map[string]step.Attr[int]{"0": step.Is(-1)}},
		"":        {Size: "1048576kB", Pages: step.Is(0)},
	} {
		if got := problem(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

// TestHugepagesInUse: what is used stays as surplus, and does not count.
func TestHugepagesInUse(t *testing.T) {
	m := twoNodes()
	m.SetHugepages(0, 2048, 20)
	m.UseHugepages(0, 2048, 15)
	before := m.Snapshot()
	s := made(t, hugepagesKind(), HugepagesSpec{Size: "2M", Nodes: map[string]step.Attr[int]{"0": step.Is(4)}})
	f := applied(t, m, s)
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "15 pages of 2M are in use on node 0") {
		t.Errorf("%q", f.Warnings)
	}
	if again, err := s.Check(t.Context(), m.Host().View()); err != nil || again.Changed() {
		t.Errorf("%v, %v", again.Deltas, err)
	}
	if err := s.Undo(t.Context(), m.Host(), f); err != nil || m.Snapshot() != before {
		t.Errorf("%v\n%s", err, m.Snapshot())
	}
}

func TestHugepagesSetElsewhere(t *testing.T) {
	m := twoNodes()
	m.WriteFile("/etc/sysctl.d/99-dpdk.conf", "vm/nr_hugepages = 1024\n")
	m.WriteFile("/etc/sysctl.d/same.conf", "vm.nr_hugepages=8\n")
	m.WriteFile("/etc/tmpfiles.d/dpdk.conf", "w "+onNode0+" - - - - 9\n")
	f, err := checked(t, hugepagesKind(), m, HugepagesSpec{Size: "2M", Pages: step.Is(8), Persistent: true})
	if err != nil || len(f.Warnings) != 2 || !strings.Contains(f.Warnings[1], "/etc/sysctl.d/99-dpdk.conf sets vm.nr_hugepages to 1024") {
		t.Errorf("%q, %v", f.Warnings, err)
	}
}

func FuzzMeminfo(f *testing.F) {
	f.Add("Node 0 MemTotal:        8028132 kB\nNode 0 MemFree:  12 kB\n")
	f.Add("MemTotal: 99999999999999999999 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n := meminfoKB(text, "MemFree"); n < 0 || n > 1<<48 {
			t.Errorf("%q has %d kB", text, n)
		}
	})
}

func FuzzPageSize(f *testing.F) {
	f.Add("2M")
	f.Add("1048576kB")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		kb, err := pageKB(text)
		if err != nil {
			return
		}
		if again, err := pageKB(sizeName(kb)); err != nil || again != kb {
			t.Errorf("%q is %d kB, as %s it is %d, %v", text, kb, sizeName(kb), again, err)
		}
	})
}

func FuzzTmpfiles(f *testing.F) {
	f.Add("w! "+onNode0+" - - - - 512\nd /run/x\n", "w! "+onNode1+" - - - - 7")
	p := pool{KB: 2048}.portion()
	f.Fuzz(func(t *testing.T, text, line string) {
		normal, ok := p.mine(line)
		if !ok {
			return
		}
		set := p.with(text, step.Is(normal))
		if got := p.value(set); got != step.Is(normal) {
			t.Errorf("set %q, read %v in %q", normal, got, set)
		}
		if p.value(p.with(set, step.None[string]())).Managed() && !p.value(p.with(set, step.None[string]())).Absent() {
			t.Errorf("it is still in %q", set)
		}
	})
}

// TestHugepagesTotalOfAnotherHand: undo leaves a total that another hand has
// set, on all nodes.
func TestHugepagesTotalOfAnotherHand(t *testing.T) {
	m := twoNodes()
	m.SetHugepages(0, 2048, 3)
	s := made(t, hugepagesKind(), HugepagesSpec{Size: "2M", Pages: step.Is(16)})
	f := applied(t, m, s)
	m.SetHugepages(1, 2048, 40)
	before := m.Snapshot()
	err := s.Undo(t.Context(), m.Host(), f)
	if !errors.Is(err, step.ErrConflict) || strings.Contains(err.Error(), "did not come back") || m.Snapshot() != before {
		t.Errorf("%v\n%s", err, m.Snapshot())
	}
}
