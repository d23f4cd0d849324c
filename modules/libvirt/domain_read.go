package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"encoding/json"

	"weft/engine/host"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

type domains struct{ owner owner }

func (r domains) Read(ctx context.Context, v host.View, want domainState) (domainState, error) {
	have := domainState{Name: want.Name, State: step.Absent, How: want.How, Skeleton: want.Skeleton, Found: &domainFound{}}
	d, err := v.Libvirt.Virtual(ctx, host.VirtualDomain, want.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if want.State.There() && want.Skeleton == "" && want.Found == nil {
			return have, fmt.Errorf("there is no domain %s, and the step has no xml to define it by", want.Name)
		}
		return have, nil
	}
	if err != nil {
		return have, err
	}
	defined, err := definition(d)
	if err != nil {
		return have, err
	}
	if err := r.owner.admit("domain "+want.Name, defined, want.How.Adopt); err != nil {
		return have, err
	}
	have.State = step.Present
	have.Found = &domainFound{UUID: d.UUID, Defined: d.Defined, Active: d.Active}
	if want.Running.Managed() || !want.State.There() {
		have.Running = step.Is(d.Active)
	}
	if want.Autostart.Managed() || !want.State.There() {
		have.Autostart = step.Is(d.Autostart)
	}
	if want.Skeleton == "" {
		return have, nil
	}
	skeleton, err := xmltree.Parse(want.Skeleton)
	if err != nil {
		return have, err
	}
	have.Parts = found(skeleton, defined)
	if d.Active {
		live, err := xmltree.Parse(d.Live)
		if err != nil {
			return have, err
		}
		have.Found.Live = found(skeleton, live)
	}
	return have, nil
}

// definition is what is defined of a domain or a network.
func definition(v host.Virtual) (*xmltree.Node, error) {
	if v.Defined == "" {
		return nil, fmt.Errorf("%s runs without a definition (virsh create, virsh net-create), and is gone once it stops: define it, or take it down", v.Name)
	}
	return xmltree.Parse(v.Defined)
}

func (domains) Diff(have, want domainState) []step.Delta {
	deltas := step.Compare(have, want)
	if !have.State.There() && want.State.There() { // not a line for each part of a definition
		deltas = slices.DeleteFunc(deltas, func(d step.Delta) bool { return strings.HasPrefix(d.Path, "xml.") })
	}
	for i := range deltas {
		deltas[i].Secret = strings.HasSuffix(deltas[i].Path, "@passwd")
	}
	if waits := pending(have, want); restarts(have, want) && len(waits) > 0 {
		deltas = append(deltas, step.Change("restart", nil, waits))
	}
	return deltas
}

// restarts says whether a domain is shut down and started again for what waits
// for that.
func restarts(have, want domainState) bool {
	running, _ := want.Running.Get()
	return want.How.Restart && running && have.Found.Active
}

// pending are the parts that a domain which runs has in force with other values
// than are wanted.
func pending(have, want domainState) []string {
	if !want.State.There() || have.Found == nil {
		return nil
	}
	var paths []string
	wanted := inForce(want)
	for _, path := range slices.Sorted(maps.Keys(have.Found.Live)) {
		if w, managed := wanted[path]; managed && !showsOther(path) && have.Found.Live[path] != w {
			paths = append(paths, path)
		}
	}
	return paths
}

// inForce are the parts that a domain which runs should have: those of its
// definition, but of a state to go back to where it ran by an older one.
func inForce(want domainState) parts {
	f := want.Found
	if f == nil || f.Live == nil {
		return want.Parts
	}
	defined, err := xmltree.Parse(f.Defined)
	skeleton, err2 := xmltree.Parse(want.Skeleton)
	if err != nil || err2 != nil {
		return want.Parts // nothing that was recorded is no XML
	}
	out := maps.Clone(want.Parts)
	for path, then := range found(skeleton, defined) {
		// What another hand has changed since is theirs.
		if live, known := f.Live[path]; known && then == want.Parts[path] && !showsOther(path) {
			out[path] = live
		}
	}
	return out
}

// showsOther says whether libvirt shows another value of a part while a domain
// runs, which is no difference: the processor that host-model stands for, a
// network's card as the bridge's that it is, the memory that a balloon left, a
// port that it chose.
func showsOther(path string) bool {
	return strings.HasPrefix(path, "cpu@") || strings.HasPrefix(path, "cpu.") || strings.HasPrefix(path, "metadata.") ||
		path == "currentMemory" || path == "title" || path == "description" ||
		strings.HasPrefix(path, "devices.interface[") && strings.HasSuffix(path, "]@type") ||
		strings.HasPrefix(path, "devices.graphics[") && (strings.HasSuffix(path, "]@port") || strings.HasSuffix(path, "]@tlsPort"))
}

// Advise says what waits for a restart, and what others will notice.
func (domains) Advise(f *step.Finding, have, want domainState) {
	if have.Found.UUID != "" {
		f.Outputs, _ = json.Marshal(domainOutputs{have.Found.UUID}) // a string always encodes
	}
	stops := !want.State.There() || want.Running.Managed() && !want.Running.Or(false)
	waits := pending(have, want)
	switch {
	case have.Found.Active && stops:
		f.Cost.Disruption = "domain " + want.Name + " is shut down"
	case restarts(have, want) && len(waits) > 0:
		f.Cost.Disruption = "domain " + want.Name + " is restarted"
	case len(waits) > 0:
		f.Warnings = append(f.Warnings, fmt.Sprintf("domain %s runs, and goes on without what is new in %s until it is restarted (restart = true has weft do it)",
			want.Name, strings.Join(waits, ", ")))
	}
}
