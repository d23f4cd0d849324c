package facts

import (
	"path"
	"strings"

	"weft/engine/host"
)

// memory reads the NUMA nodes and the huge pages.
func (c *collector) memory(f *host.Facts) {
	f.HugePages = c.hugePages("/sys/kernel/mm/hugepages")
	f.NUMA = map[string]*host.NUMANode{}
	const nodes = "/sys/devices/system/node"
	for _, name := range c.kernelList(nodes) {
		number, isNode := strings.CutPrefix(name, "node")
		if _, err := nodeNumber(number); !isNode || err != nil || len(f.NUMA) == most {
			continue
		}
		at := path.Join(nodes, name)
		f.NUMA[number] = &host.NUMANode{
			CPUs:      cpus(c.kernel(path.Join(at, "cpulist"))),
			MemoryMB:  memoryOf(c.kernel(path.Join(at, "meminfo"))),
			HugePages: c.hugePages(path.Join(at, "hugepages")),
		}
	}
}

// hugePages reads a directory that has one named hugepages-2048kB for each
// size.
func (c *collector) hugePages(dir string) map[string]*host.HugePages {
	sizes := map[string]*host.HugePages{}
	for _, name := range c.kernelList(dir) {
		size := pageSize(name)
		if size == "" || len(sizes) == most {
			continue
		}
		sizes[size] = &host.HugePages{
			Total: count(c.kernel(path.Join(dir, name, "nr_hugepages"))),
			Free:  count(c.kernel(path.Join(dir, name, "free_hugepages"))),
		}
	}
	return sizes
}
