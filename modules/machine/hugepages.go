package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/step"
)

// HugepagesSpec is the spec of kind hugepages.
type HugepagesSpec struct {
	Size       string                    `json:"size" weft:"label" doc:"Size of a page: 2M, 1G, or as /sys writes it: 2048kB."`
	Pages      step.Attr[int]            `json:"pages,omitzero" doc:"Number of pages of the whole host; the kernel spreads them over the NUMA nodes. Give this or nodes."`
	Nodes      map[string]step.Attr[int] `json:"nodes,omitzero" doc:"Number of pages by NUMA node: { \"0\" = 512, \"1\" = 512 }. A node that is left out stays as it is."`
	Persistent bool                      `json:"persistent" default:"true" doc:"Whether a boot brings them again; if false, weft's file for the boot must not name them."`
}

// HugepagesOutputs are the outputs of kind hugepages.
type HugepagesOutputs struct {
	MB int `json:"mb" doc:"Memory in pages of this size on the whole host, in units of 1024 * 1024 bytes."`
}

// Validate finds what makes no sense on any host.
func (s *HugepagesSpec) Validate() []step.Problem {
	var problems []step.Problem
	if _, err := pageKB(s.Size); err != nil {
		problems = append(problems, step.Problem{Path: "size", Message: err.Error(), Hint: "write it as 2M or 1G"})
	}
	if n, ok := s.Pages.Get(); ok == (len(s.Nodes) > 0) {
		problems = append(problems, step.Problem{Path: "pages", Message: "is a number for the whole host, nodes one for each NUMA node; a step gives one of the two"})
	} else if n < 0 {
		problems = append(problems, step.Problem{Path: "pages", Message: "is negative"})
	}
	for _, node := range slices.Sorted(maps.Keys(s.Nodes)) {
		n, ok := s.Nodes[node].Get()
		if number, err := cpus.Number(node); err != nil || strconv.Itoa(number) != node {
			problems = append(problems, step.Problem{Path: "nodes", Message: fmt.Sprintf("%q is no number of a NUMA node", node), Hint: `write it as { "0" = 512 }`})
		} else if !ok || n < 0 {
			problems = append(problems, step.Problem{Path: "nodes." + node, Message: "is no number of pages", Hint: "0 for none; leave the node out to let it be"})
		}
	}
	return problems
}

func hugepagesKind() step.Kind {
	return step.Kind{
		Name:    "hugepages",
		Summary: "Memory set aside in huge pages of one size, of the host or by NUMA node, now and after a boot.",
		Doc: `Pages are counted by node, as the kernel has them, whoever asked for them: those that kernel arguments reserved at boot count. What
the kernel lent on top (surplus) does not.

More pages are taken from free memory at once. Where the kernel finds too few whole pieces, memory is compacted and it is asked again,
three times in all; caches are not dropped, which would slow down every guest for a while. A shortfall is an error with
the node, the pages wanted and got, and the memory that is free there. Pages of 1G are best reserved by kernel_cmdline (hugepagesz=1G hugepages=16), before
memory is in pieces; this step then sees that they are there. Where fewer pages are asked for than are in use, those in use stay until they are given back, and the plan warns.

For the next boot there is a line for each number in /etc/tmpfiles.d/weft-hugepages-SIZE.conf. It is written before sysinit.target, so before
Open vSwitch and libvirt start. It has the last word over kernel arguments. A setting of vm.nr_hugepages by another hand is named by a warning.`,
		Spec:    HugepagesSpec{},
		Outputs: HugepagesOutputs{},
		Example: `step "hugepages" "1G" {
  nodes = { "0" = 8, "1" = 8 }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[HugepagesSpec](u)
			if err != nil {
				return nil, err
			}
			want, err := spec.state()
			if err != nil {
				return nil, err
			}
			return step.Of("hugepages of "+want.unit(), hugepages{}, want), nil
		},
	}
}

// pool is the state of the huge pages of one size.
type pool struct {
	KB         int                       `json:"kb" weft:"label"`
	Pages      step.Attr[int]            `json:"pages,omitzero"`
	Nodes      map[string]step.Attr[int] `json:"nodes,omitzero"`
	Persistent step.Attr[string]         `json:"persistent,omitzero"`
	// Text is the file for the boot as it was found.
	Text step.Attr[string] `json:"text,omitzero" weft:"found"`
	// Memory is what the nodes had when they were read.
	Memory map[string]nodeMemory `json:"memory,omitzero" weft:"found"`
	// Elsewhere are files of other hands that say otherwise for the boot.
	Elsewhere []string `json:"elsewhere,omitzero" weft:"found"`
}

// state is what the spec asks for.
func (s HugepagesSpec) state() (pool, error) {
	kb, err := pageKB(s.Size)
	if err != nil {
		return pool{}, err
	}
	want := pool{KB: kb, Pages: s.Pages, Nodes: s.Nodes, Persistent: step.None[string]()}
	if s.Persistent {
		want.Persistent = step.Is(strings.Join(want.bootLines(), "\n"))
	}
	return want, nil
}

// bootLines are the lines for the boot.
func (p pool) bootLines() []string {
	if n, ok := p.Pages.Get(); ok {
		return []string{tmpfilesLine(p.hostDir()+"/nr_hugepages", strconv.Itoa(n))}
	}
	var lines []string
	for _, node := range p.nodes() {
		lines = append(lines, tmpfilesLine(p.nodeDir(node)+"/nr_hugepages", strconv.Itoa(p.Nodes[node].Or(0))))
	}
	return lines
}

// nodes are the nodes that are managed, by number.
func (p pool) nodes() []string {
	names := slices.Collect(maps.Keys(p.Nodes))
	slices.SortFunc(names, byNumber)
	return names
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// unit is the size as people say it.
func (p pool) unit() string { return sizeName(p.KB) }

func (p pool) file() string { return "/etc/tmpfiles.d/weft-hugepages-" + p.unit() + ".conf" }

// portion is what the file for the boot says of this size.
func (p pool) portion() portion {
	return tmpfilesPortion(p.named)
}

// named says whether a kernel file is the number of pages of this size.
func (p pool) named(kernelPath string) bool {
	return strings.HasSuffix(kernelPath, fmt.Sprintf("/hugepages-%dkB/nr_hugepages", p.KB))
}

// sum is the number of pages over all nodes that are managed.
func (p pool) sum() int {
	sum := 0
	for _, n := range p.Nodes {
		sum += n.Or(0)
	}
	return sum
}

type hugepages struct{}

// Read counts the pages of each node. Where the total is managed all nodes are
// answered, so that undo can bring each back.
func (hugepages) Read(ctx context.Context, v host.View, want pool) (pool, error) {
	have := pool{KB: want.KB}
	var err error
	if have.Memory, err = readMemory(ctx, v, want); err != nil {
		return have, err
	}
	have.Nodes = map[string]step.Attr[int]{}
	for node, m := range have.Memory {
		if _, named := want.Nodes[node]; named || want.Pages.Managed() {
			have.Nodes[node] = step.Is(m.Pages)
		}
	}
	if want.Pages.Managed() {
		have.Pages = step.Is(have.sum())
	}
	for _, node := range want.nodes() {
		m, there := have.Memory[node]
		if !there {
			return have, fmt.Errorf("the host has no NUMA node %s with memory; it has %s", node, strings.Join(slices.SortedFunc(maps.Keys(have.Memory), byNumber), ", "))
		}
		if err := m.refuse("node "+node, want.Nodes[node].Or(0), want); err != nil {
			return have, err
		}
	}
	if err := whole(have.Memory).refuse("the host", want.Pages.Or(0), want); err != nil {
		return have, err
	}
	if have.Text, err = readText(ctx, v, want.file()); err != nil {
		return have, err
	}
	have.Persistent = want.portion().value(have.Text.Or(""))
	have.Elsewhere, err = bootedElsewhere(ctx, v, want)
	return have, err
}

// Diff leaves the nodes out where the total alone is asked for, or where another
// hand has changed it since.
func (hugepages) Diff(have, want pool) []step.Delta {
	if total, ok := want.Pages.Get(); ok && total != want.sum() {
		want.Nodes = nil
	}
	return step.Compare(have, want)
}

// Write asks the kernel first: it may not have the memory.
func (r hugepages) Write(ctx context.Context, h host.Host, have, want pool) error {
	deltas := r.Diff(have, want)
	total, byTotal := want.Pages.Get()
	switch {
	case byTotal && total != want.sum():
		if have.Pages.Or(-1) != total {
			if err := grow(ctx, h, want, "", total); err != nil {
				return err
			}
		}
	default:
		for _, node := range givingFirst(have, want) {
			if slices.ContainsFunc(deltas, func(d step.Delta) bool { return d.Path == "nodes."+node }) {
				if err := grow(ctx, h, want, node, want.Nodes[node].Or(0)); err != nil {
					return err
				}
			}
		}
	}
	p := want.portion()
	return writeText(ctx, h, want.file(), have.Text, p.settled(have.Text, want.Text, want.Persistent))
}

// givingFirst are the nodes of want, those first that give memory back.
func givingFirst(have, want pool) []string {
	more := func(node string) int { return want.Nodes[node].Or(0) - have.Nodes[node].Or(0) }
	nodes := want.nodes()
	slices.SortStableFunc(nodes, func(a, b string) int { return min(max(more(a), -1), 1) - min(max(more(b), -1), 1) })
	return nodes
}

// Advise says what a number means for who uses pages, or memory, now.
func (r hugepages) Advise(f *step.Finding, have, want pool) {
	pages := whole(have.Memory).Pages
	for _, d := range f.Deltas {
		if d.Path == "pages" {
			pages = want.Pages.Or(0)
		}
		if node, ok := strings.CutPrefix(d.Path, "nodes."); ok {
			pages += want.Nodes[node].Or(0) - have.Nodes[node].Or(0)
		}
	}
	f.Outputs, _ = json.Marshal(HugepagesOutputs{MB: pages * want.KB / 1024})
	if f.Changed() {
		for _, node := range want.nodes() {
			f.Warnings = append(f.Warnings, have.Memory[node].advise("node "+node, want.Nodes[node].Or(0), want)...)
		}
		if n, ok := want.Pages.Get(); ok {
			f.Warnings = append(f.Warnings, whole(have.Memory).advise("the host", n, want)...)
		}
	}
	for _, other := range have.Elsewhere {
		f.Warnings = append(f.Warnings, other+"; which of the two wins at boot is left to chance, so remove that one")
	}
}
