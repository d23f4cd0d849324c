package ovs

import (
	"slices"
	"strings"
	"testing"

	"weft/engine/host/xmltree"
)

func TestQueuesOfSeveralReleases(t *testing.T) {
	for name, said := range map[string]string{
		"3.1":  "Displaying last 60 seconds pmd usage %\npmd thread numa_id 0 core_id 1:\n  isolated : false\n  port: dpdk0             queue-id:  0 (enabled)   pmd usage: NOT AVAIL\n  overhead: NOT AVAIL\n",
		"2.11": "pmd thread numa_id 0 core_id 1:\n\tisolated : false\n\tport: dpdk0            \tqueue-id:  0\tpmd usage:  0 %\n",
	} {
		if got := queues(said); len(got) != 1 || got[0] != (queue{"dpdk0", "1"}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzQueues(f *testing.F) {
	f.Add("pmd thread numa_id 0 core_id 1:\n  port: dpdk0             queue-id:  0 (enabled)   pmd usage:  0 %\n", " port  VLAN  MAC                Age\n    1     0  02:b8:2c:06:5b:0a    3\n")
	f.Fuzz(func(t *testing.T, rxq, fdb string) {
		for _, q := range queues(rxq) {
			if q.port == "" || strings.ContainsAny(q.port, " \n") {
				t.Errorf("a queue of %q", q.port)
			}
		}
		for mac := range learntBy(fdb) {
			if strings.Count(mac, ":") != 5 {
				t.Errorf("%q is learnt", mac)
			}
		}
	})
}

// FuzzSupply: what is taken was there, and what is missing was not.
func FuzzSupply(f *testing.F) {
	f.Add("--socket-mem 64,1024", "36 25 0:31 / /dev/hugepages rw - hugetlbfs x rw,pagesize=2M\n", "(Open vSwitch) 2.16", 3, 512, 1)
	f.Add("-m7 --huge-dir=/x --file-prefix a", "", "", 0, 0, 0)
	f.Fuzz(func(t *testing.T, extra, mountinfo, version string, left, small, large int) {
		small, large, left = max(small, 0)%4096, max(large, 0)%16, max(left, 0)%4096
		nodes := map[int]node{0: {pools: map[int]pool{2048: {free: small, used: 9}, 1 << 20: {free: large}}}, 1: {pools: map[int]pool{2048: {free: large}}}}
		g := ground{asked: map[string]string{"dpdk-extra": extra}, version: version}
		asked, ok, err := g.request(nodes)
		mounts := hugetlbfsIn(mountinfo, 2048)
		b := budget{nodes: nodes, asked: asked, mounted: g.mountedSizes(mounts, len(mounts) > 0), left: map[int]int{2048: left}, normal: 2048}
		if err != nil || !ok {
			return
		}
		s := newSupply(nodes, b.left)
		before := s.megabytes(s.numbers(), s.sizes(nil))
		for _, w := range b.wants(s) {
			missing := w.serve(s)
			if got := before - s.megabytes(s.numbers(), s.sizes(nil)); missing < 0 || missing == 0 && got < w.kb>>10 {
				t.Errorf("%s takes %d MB, and %d kB are missing", w.who, got, missing)
			}
			before = s.megabytes(s.numbers(), s.sizes(nil))
		}
		for _, sizes := range s.pages {
			for kb, n := range sizes {
				if n < 0 || s.left[kb] < 0 {
					t.Errorf("%d pages of %d kB are left", n, kb)
				}
			}
		}
		b.short()
	})
}

func FuzzHeldMemory(f *testing.F) {
	f.Add("7f0000000000 default file=/dev/hugepages/rtemap_0 huge dirty=4 N0=3 N1=1 kernelpagesize_kB=2048\n", "<domain><memory unit='GiB'>1</memory><memoryBacking><hugepages/></memoryBacking><cpu><numa><cell id='0' memory='5'/></numa></cpu></domain>")
	f.Fuzz(func(t *testing.T, maps, domain string) {
		for node := range held(maps) {
			if node < 0 {
				t.Errorf("node %d", node)
			}
		}
		if n, err := xmltree.Parse(domain); err == nil {
			memoryOf(n)
		}
	})
}

func TestMemoryOfCells(t *testing.T) {
	n, err := xmltree.Parse(`<domain><memory unit="KiB">3145728</memory><memoryBacking><hugepages/></memoryBacking>
	  <numatune><memory mode="strict" nodeset="0-1"/><memnode cellid="1" mode="strict" nodeset="1"/></numatune>
	  <cpu><numa><cell id="0" cpus="0" memory="1048576" memAccess="shared"/><cell id="1" cpus="1" memory="2" unit="GiB"/></numa></cpu></domain>`)
	if err != nil {
		t.Fatal(err)
	}
	if g := memoryOf(n); !slices.Equal(g.claims, []claim{{anyNode, 1 << 20, 0}, {1, 2 << 20, 0}}) {
		t.Errorf("%+v", g)
	}
}
