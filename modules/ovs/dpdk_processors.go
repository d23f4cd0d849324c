package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/host/pci"
	"weft/engine/host/row"
)

// maskKeys are the keys of other_config that hold masks of processors.
func maskKeys() []string { return []string{"dpdk-lcore-mask", "pmd-cpu-mask"} }

// mostLcores is how many processors a DPDK counts that was built as most are
// (RTE_MAX_LCORE); dpdk-lcore-mask names none beyond.
const mostLcores = 128

// maskProblem says what is wrong with a mask that holds wherever it is used, and
// how to write it; empty where nothing is.
func maskProblem(key, text string) (message, hint string) {
	set, err := cpus.ParseHex(text)
	switch {
	case err != nil:
		return err.Error(), "hexadecimal, the lowest bit is processor 0: 0x6 for 1 and 2"
	case len(set) == 0 && key == "pmd-cpu-mask":
		return fmt.Sprintf("%q has no processor, and no port of DPDK is polled", text), "leave it out for a processor of each NUMA node"
	case len(set) == 0:
		return fmt.Sprintf("%q has no processor, and ovs-vswitchd ends as it starts", text), "leave it out for the processor that ovs-vswitchd starts on"
	case key == "dpdk-lcore-mask" && set[len(set)-1] >= mostLcores:
		return fmt.Sprintf("has processor %d, and DPDK takes those below %d there", set[len(set)-1], mostLcores), fmt.Sprintf("map them in dpdk-extra: --lcores 0@%d", set[len(set)-1])
	}
	return "", ""
}

// processors looks at the masks: a processor that is not there or not online is
// an error, one that the scheduler uses as well is a warning, and so is a NIC
// without a polling thread or memory on its node.
func (g *ground) processors(ctx context.Context, v host.View, nodes map[int]node) error {
	online, err := kernelSet(ctx, v, "/sys/devices/system/cpu/online")
	if err != nil || len(online) == 0 {
		return err
	}
	isolated, err := kernelSet(ctx, v, "/sys/devices/system/cpu/isolated")
	if err != nil {
		return err
	}
	masks := map[string]cpus.Set{}
	for _, key := range maskKeys() {
		text := g.asked[key]
		if text == "" {
			continue
		}
		if message, hint := maskProblem(key, text); message != "" { // one that was not known when it was validated, or that another hand wrote
			return fmt.Errorf("other_config:%s %s: %s", key, message, hint)
		}
		set, err := cpus.ParseHex(text)
		if err != nil {
			return fmt.Errorf("other_config:%s: %w", key, err)
		}
		if missing := set.Without(online); len(missing) > 0 {
			return fmt.Errorf("other_config:%s is %s, processors %s, and %s of them are not online: this host has %s", key, text, set, missing, online)
		}
		masks[key] = set
	}
	pmd := masks["pmd-cpu-mask"]
	if shared := pmd.Without(isolated); len(shared) > 0 {
		g.warnings = append(g.warnings, fmt.Sprintf("the processors %s of pmd-cpu-mask are not isolated: what else runs on them delays packets (a step cpu_isolation, or isolcpus of kernel_cmdline)", shared))
	}
	if both := pmd.Without(pmd.Without(masks["dpdk-lcore-mask"])); len(both) > 0 {
		g.warnings = append(g.warnings, fmt.Sprintf("the processors %s are in pmd-cpu-mask and in dpdk-lcore-mask: the main thread of ovs-vswitchd takes time of the threads that poll", both))
	}
	return g.nics(ctx, v, nodes, pmd)
}

// nics looks where the NICs lie that are DPDK's, or about to be.
func (g *ground) nics(ctx context.Context, v host.View, nodes map[int]node, pmd cpus.Set) error {
	addresses, err := g.nicAddresses(ctx, v)
	if err != nil {
		return err
	}
	asked, sized, err := g.request(nodes)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		d, err := pci.Read(ctx, v.Kernel, address)
		if err != nil {
			return err
		}
		n, there := nodes[d.Node]
		if !there {
			continue // the firmware does not say, or there is one node alone
		}
		if len(pmd) > 0 && len(pmd.Without(n.cpus)) == len(pmd) {
			g.warnings = append(g.warnings, fmt.Sprintf("NIC %s lies on node %d (processors %s), and pmd-cpu-mask has none of them: it is polled from another node", address, d.Node, n.cpus))
		}
		if sized && len(asked.byNode) > 0 && asked.byNode[d.Node] == 0 {
			g.warnings = append(g.warnings, fmt.Sprintf("NIC %s lies on node %d, and %s has no memory there: its port may not come up", address, d.Node, asked.key))
		}
	}
	return nil
}

// nicAddresses are the PCI addresses of the ports of type dpdk, and of the NICs
// that a driver for programs has.
func (g *ground) nicAddresses(ctx context.Context, v host.View) ([]string, error) {
	found := map[string]bool{}
	for _, i := range g.interfaces {
		if row.String(i, "type") != "dpdk" {
			continue
		}
		name, _, _ := strings.Cut(row.Map(i, "options")["dpdk-devargs"], ",")
		if address, err := pci.Address(name); err == nil {
			found[address] = true
		}
	}
	all, err := pci.List(ctx, v.Kernel)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, address := range all {
		there[address] = true
		class, err := pci.Class(ctx, v.Kernel, address)
		if err != nil || !(pci.Device{Class: class}).Network() {
			continue
		}
		d, err := pci.Read(ctx, v.Kernel, address)
		if err != nil {
			return nil, err
		}
		if slices.Contains([]string{"vfio-pci", "uio_pci_generic", "igb_uio"}, d.Driver) {
			found[address] = true
		}
	}
	maps.DeleteFunc(found, func(address string, _ bool) bool { return !there[address] })
	return slices.Sorted(maps.Keys(found)), nil
}
