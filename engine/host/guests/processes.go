package guests

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/xmltree"
)

// statusDir is where libvirtd keeps the state of each domain that runs, to find it
// again when it is started anew.
const statusDir = "/run/libvirt/qemu"

// fromProcesses are the guests of a host whose libvirtd does not answer: each
// process of qemu is one, and the state that libvirtd left tells its cards.
func fromProcesses(ctx context.Context, v host.View, refused error) (seen, error) {
	known, err := statuses(ctx, v)
	if err != nil {
		return seen{}, err
	}
	var s seen
	entries, err := v.Kernel.List(ctx, "/proc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.guests = []guest{{name: "unknown"}}
		s.warnings = []string{fmt.Sprintf("guests unknown: libvirtd does not answer (%v), nor can processes be listed (%v)", refused, err)}
		return s, ctx.Err()
	}
	blind := false
	for _, pid := range entries {
		if _, err := strconv.ParseUint(pid, 10, 31); err != nil {
			continue
		}
		comm, err := v.Kernel.Get(ctx, path.Join("/proc", pid, "comm"))
		if err != nil || !isQemu(comm) { // one that cannot be read has ended
			continue
		}
		g, there := known[pid]
		if !there {
			g = guest{name: nameOf(ctx, v, pid)}
		}
		blind = blind || g.live == nil
		s.guests = append(s.guests, g)
	}
	switch {
	case blind:
		s.warnings = []string{fmt.Sprintf("guests unknown: libvirtd does not answer (%v); each process of qemu whose cards nothing tells counts as one that is hit", refused)}
	case len(s.guests) > 0:
		s.warnings = []string{fmt.Sprintf("libvirtd does not answer (%v): the guests are those of the processes of qemu", refused)}
	}
	return s, ctx.Err()
}

// isQemu says whether a process of this name (/proc/PID/comm, cut to 15 characters)
// is a virtual machine. qemu-ga and qemu-img are none.
func isQemu(comm string) bool {
	return strings.HasPrefix(comm, "qemu-system") || comm == "qemu-kvm" || comm == "kvm"
}

// statuses are the domains that libvirtd left, by the id of their process.
func statuses(ctx context.Context, v host.View) (map[string]guest, error) {
	names, err := v.Files.List(ctx, statusDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := map[string]guest{}
	for _, name := range names {
		if path.Ext(name) != ".xml" {
			continue
		}
		text, err := v.Files.Read(ctx, path.Join(statusDir, name))
		if err != nil {
			continue // its process counts without
		}
		status, err := xmltree.Parse(string(text))
		if err != nil || status.Get("pid") == "" || status.At("domain") == nil {
			continue
		}
		all[status.Get("pid")] = guest{strings.TrimSuffix(name, ".xml"), status.At("domain")}
	}
	return all, nil
}

// nameOf is what a qemu was told to call itself: -name guest=NAME,… or -name NAME,….
func nameOf(ctx context.Context, v host.View, pid string) string {
	unnamed := "process " + pid + " of qemu"
	line, err := v.Kernel.Get(ctx, path.Join("/proc", pid, "cmdline"))
	if err != nil {
		return unnamed
	}
	words := strings.Split(line, "\x00")
	for i, word := range words[:len(words)-1] {
		if word != "-name" && word != "--name" {
			continue
		}
		name, _, _ := strings.Cut(words[i+1], ",")
		if name = strings.TrimPrefix(name, "guest="); name != "" {
			return name
		}
	}
	return unnamed
}
