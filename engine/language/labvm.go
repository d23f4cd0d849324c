package language

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// VM says that the lab makes a host a virtual machine.
type VM struct {
	Memory    int // MiB; 0 for what the lab gives unasked
	CPUs      int // 0 for one
	NUMANodes int // 0 for one
	IOMMU     bool
	Firmware  string // "bios" or "uefi"; empty for what the lab gives unasked
}

// vmFirmware is what the lab's virtual machines can boot by.
func vmFirmware() []string { return []string{"bios", "uefi"} }

// nicModels are the network cards that the lab's virtual machines can have.
func nicModels() []string { return []string{"virtio", "e1000e"} }

// vm reads a host's vm block, of which there is one at most.
func (b *binder) vm(h *Host, body *hclsyntax.Body, ctx *hcl.EvalContext) {
	for _, block := range body.Blocks {
		if block.Type != "vm" {
			continue
		}
		if _, ok := labels(block, &b.mistakes); !ok {
			continue
		}
		if h.VM != nil {
			b.error(block.DefRange(), fmt.Sprintf("host %q has two vm blocks", h.Name))
			continue
		}
		vmRule.check(block.Body, &b.mistakes)
		h.VM = &VM{
			Memory:    b.between(block.Body, ctx, "memory", 512, 1<<20, "MiB of memory"),
			CPUs:      b.between(block.Body, ctx, "cpus", 1, 8, "processors"),
			NUMANodes: b.between(block.Body, ctx, "numa_nodes", 1, 2, "NUMA nodes"),
		}
		if e := attribute(block.Body, "iommu"); e != nil {
			h.VM.IOMMU, _ = truth(e, ctx, "iommu", &b.mistakes)
		}
		if e := attribute(block.Body, "firmware"); e != nil {
			h.VM.Firmware = text(e, ctx, "firmware", &b.mistakes)
			if f := h.VM.Firmware; f != "" && !slices.Contains(vmFirmware(), f) {
				b.error(e.Range(), fmt.Sprintf("no virtual machine of the lab boots by %q: firmware is %s", f, strings.Join(vmFirmware(), " or ")),
					meant(f, vmFirmware()))
			}
		}
	}
}

// between reads a number that lies between two others, if it is there.
func (b *binder) between(body *hclsyntax.Body, ctx *hcl.EvalContext, name string, least, most int, unit string) int {
	e := attribute(body, name)
	if e == nil {
		return 0
	}
	before := len(b.list)
	n := number(e, ctx, name, &b.mistakes)
	if len(b.list) == before && (n < least || n > most) {
		b.error(e.Range(), fmt.Sprintf("%s = %d: a virtual machine of the lab has %d to %d %s", name, n, least, most, unit))
	}
	return n
}

// nicModel reads which card a nic is, which only a virtual machine can choose.
func (b *binder) nicModel(h *Host, n *NIC, body *hclsyntax.Body, ctx *hcl.EvalContext) {
	e := attribute(body, "model")
	if e == nil {
		return
	}
	n.Model = text(e, ctx, "model", &b.mistakes)
	switch {
	case n.Model == "":
	case !slices.Contains(nicModels(), n.Model):
		b.error(e.Range(), fmt.Sprintf("the lab has no network card %q: model is %s", n.Model, strings.Join(nicModels(), " or ")), meant(n.Model, nicModels()))
	case h.VM == nil:
		b.error(e.Range(), fmt.Sprintf("host %q is no virtual machine: its nics have no model", h.Name), hint("add a block: vm {}"))
	}
}
