package fake

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// Memory is the memory of a NUMA node.
type Memory struct {
	TotalKB int
	FreeKB  int // in no page
	// PiecesKB is how much of what is free lies in pieces too small for a huge
	// page; compacting memory mends half of it.
	PiecesKB int
}

// hugeSizes are the sizes of huge pages that a machine has, in kB.
var hugeSizes = [...]int{2048, 1 << 20}

// AddNodes gives the machine NUMA nodes, numbered from 0, with huge pages of 2M
// and 1G. Their numbers, and what memory is left, are the kernel's values: the
// node's in pieces is /proc/pagetypeinfo, in a form of this package's own.
func (m *Machine) AddNodes(nodes ...Memory) {
	for i, n := range nodes {
		m.setMemory(i, n)
		for _, kb := range hugeSizes {
			m.setPages(i, kb, pages{})
			m.OnKernel(nodePool(i, kb)+"/nr_hugepages", func(m *Machine, value string) (string, error) {
				return m.resize([]int{i}, kb, nodePool(i, kb), value)
			})
		}
		compact := fmt.Sprintf("/sys/devices/system/node/node%d/compact", i)
		m.SetKernel(compact, "")
		m.OnKernel(compact, func(m *Machine, _ string) (string, error) { m.compact(i); return "", nil })
	}
	m.SetKernel("/proc/sys/vm/compact_memory", "")
	m.OnKernel("/proc/sys/vm/compact_memory", func(m *Machine, _ string) (string, error) {
		for i := range nodes {
			m.compact(i)
		}
		return "", nil
	})
	for _, kb := range hugeSizes {
		m.sumPages(kb)
		m.OnKernel(hostPool(kb)+"/nr_hugepages", func(m *Machine, value string) (string, error) {
			all := make([]int, len(nodes))
			for i := range all {
				all[i] = i
			}
			return m.resize(all, kb, hostPool(kb), value)
		})
	}
	m.SetKernel("/proc/meminfo", "Hugepagesize:       2048 kB")
}

// SetHugepages sets a node's number of pages as another hand does, which writes
// it to /sys.
func (m *Machine) SetHugepages(node, kb, number int) {
	_, err := m.resize([]int{node}, kb, nodePool(node, kb), strconv.Itoa(number))
	must(err)
}

// UseHugepages has a program take free pages of a node.
func (m *Machine) UseHugepages(node, kb, number int) {
	p := m.pages(node, kb)
	if p.total-p.used < number {
		panic("fake: so many pages are not free")
	}
	p.used += number
	m.setPages(node, kb, p)
	m.sumPages(kb)
}

// pages are the pages of one size of a node: all, those in use, and those that
// are lent on top.
type pages struct{ total, used, surplus int }

func nodePool(node, kb int) string {
	return fmt.Sprintf("/sys/devices/system/node/node%d/hugepages/hugepages-%dkB", node, kb)
}

func hostPool(kb int) string { return fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB", kb) }

func (m *Machine) number(name string) int {
	text, _ := m.KernelValue(name)
	n, err := strconv.Atoi(text)
	must(err)
	return n
}

func (m *Machine) pages(node, kb int) pages {
	dir := nodePool(node, kb)
	total := m.number(dir + "/nr_hugepages")
	return pages{total: total, used: total - m.number(dir+"/free_hugepages"), surplus: m.number(dir + "/surplus_hugepages")}
}

func (m *Machine) setPages(node, kb int, p pages) { m.showPages(nodePool(node, kb), p) }

func (m *Machine) showPages(dir string, p pages) {
	m.SetKernel(dir+"/nr_hugepages", strconv.Itoa(p.total))
	m.SetKernel(dir+"/free_hugepages", strconv.Itoa(p.total-p.used))
	m.SetKernel(dir+"/surplus_hugepages", strconv.Itoa(p.surplus))
}

// sumPages shows what all nodes have together.
func (m *Machine) sumPages(kb int) {
	var sum pages
	for node := 0; ; node++ {
		if _, ok := m.KernelValue(nodePool(node, kb) + "/nr_hugepages"); !ok {
			break
		}
		p := m.pages(node, kb)
		sum.total, sum.used, sum.surplus = sum.total+p.total, sum.used+p.used, sum.surplus+p.surplus
	}
	m.showPages(hostPool(kb), sum)
}

func (m *Machine) memory(node int) Memory {
	text, _ := m.KernelValue(fmt.Sprintf("/sys/devices/system/node/node%d/meminfo", node))
	pieces := m.number(fmt.Sprintf("/proc/pagetypeinfo/node%d", node))
	mem := Memory{PiecesKB: pieces}
	for line := range strings.Lines(text) {
		var n, kb int
		if _, err := fmt.Sscanf(line, "Node %d MemTotal: %d kB", &n, &kb); err == nil {
			mem.TotalKB = kb
		}
		if _, err := fmt.Sscanf(line, "Node %d MemFree: %d kB", &n, &kb); err == nil {
			mem.FreeKB = kb
		}
	}
	return mem
}

func (m *Machine) setMemory(node int, mem Memory) {
	m.SetKernel(fmt.Sprintf("/sys/devices/system/node/node%d/meminfo", node),
		fmt.Sprintf("Node %d MemTotal:       %8d kB\nNode %d MemFree:        %8d kB", node, mem.TotalKB, node, mem.FreeKB))
	m.SetKernel(fmt.Sprintf("/proc/pagetypeinfo/node%d", node), strconv.Itoa(mem.PiecesKB))
}

func (m *Machine) compact(node int) {
	mem := m.memory(node)
	mem.PiecesKB /= 2
	m.setMemory(node, mem)
}

// resize makes a number of pages on some nodes, taking turns, as far as their
// memory goes, and returns what is read back where it was written.
func (m *Machine) resize(nodes []int, kb int, at, value string) (string, error) {
	want, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || want < 0 {
		return "", syscall.EINVAL
	}
	have := 0
	for _, node := range nodes {
		p := m.pages(node, kb)
		have += p.total - p.surplus
	}
	for moved := true; have != want && moved; {
		moved = false
		for _, node := range nodes {
			switch {
			case have < want && m.take(node, kb):
				have, moved = have+1, true
			case have > want && m.give(node, kb):
				have, moved = have-1, true
			}
		}
	}
	m.sumPages(kb)
	text, _ := m.KernelValue(at + "/nr_hugepages")
	return text, nil
}

// take makes a page of a node its own: one that was lent, or free memory.
func (m *Machine) take(node, kb int) bool {
	p, mem := m.pages(node, kb), m.memory(node)
	switch {
	case p.surplus > 0:
		p.surplus--
	case mem.FreeKB-mem.PiecesKB >= kb:
		p.total++
		mem.FreeKB -= kb
	default:
		return false
	}
	m.setPages(node, kb, p)
	m.setMemory(node, mem)
	return true
}

// give frees a page of a node, or lends it to who uses it.
func (m *Machine) give(node, kb int) bool {
	p, mem := m.pages(node, kb), m.memory(node)
	switch {
	case p.total > p.used:
		p.total--
		mem.FreeKB += kb
	case p.total > p.surplus:
		p.surplus++
	default:
		return false
	}
	m.setPages(node, kb, p)
	m.setMemory(node, mem)
	return true
}
