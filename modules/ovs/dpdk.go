package ovs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

const switchUnit = "ovs-vswitchd.service"

// restartSeen is what a restart of ovs-vswitchd meets, for costs and warnings. The
// guests that it hits the engine finds, whoever asks for it.
type restartSeen struct {
	Severs   []string `json:"severs,omitzero"` // devices whose traffic its bridges pass
	Warnings []string `json:"warnings,omitzero"`
}

// wantsDPDK says whether DPDK must be at work for the step to be done; "try"
// asks for it and does without.
func (s ConfigSpec) wantsDPDK() bool {
	return s.Asked && strings.EqualFold(s.OtherConfig["dpdk-init"].Or(""), "true")
}

// restarting says whether one of the differences is in force only once
// ovs-vswitchd was started anew, and names the first.
func restarting(deltas []step.Delta) (reason string, yes bool) {
	for _, d := range deltas {
		key, isConfig := strings.CutPrefix(d.Path, "other_config.")
		if isConfig && slices.Contains(restartKeys(), key) {
			return "other_config:" + key, true
		}
		if d.Path == "dpdk_initialized" {
			return "other_config:dpdk-init", true
		}
	}
	return "", false
}

// beforeRestart looks whether ovs-vswitchd would come up with DPDK as the
// database is going to ask for it. What a hypervisor lacks is an error, for the
// guests are off the network until it is found, and it costs nothing to find now.
func (t tables) beforeRestart(ctx context.Context, v host.View, have, want ConfigSpec) (restartSeen, error) {
	var seen restartSeen
	deltas := config{}.Diff(have, want)
	_, restarts := restarting(deltas)
	masks := slices.ContainsFunc(deltas, func(d step.Delta) bool { return d.Path == "other_config.pmd-cpu-mask" })
	if !restarts && !masks {
		return seen, nil
	}
	asked := row.Map(t.root, "other_config")
	for key, value := range want.OtherConfig {
		if text, set := value.Get(); set {
			asked[key] = text
		} else if value.Managed() {
			delete(asked, key)
		}
	}
	if initialises := strings.EqualFold(asked["dpdk-init"], "true") || strings.EqualFold(asked["dpdk-init"], "try"); initialises {
		g := ground{tables: t, asked: asked}
		err := g.look(ctx, v, restarts)
		switch {
		case errors.Is(err, step.ErrNotYet) && strings.EqualFold(asked["dpdk-init"], "try"):
			g.warnings = append(g.warnings, fmt.Sprintf("DPDK will not start, and dpdk-init = \"try\" does without: %v", err))
		case err != nil:
			return seen, err
		}
		seen.Warnings = g.warnings
	}
	if !restarts {
		return seen, nil
	}
	all, err := devices(ctx, v)
	if err != nil {
		return seen, err
	}
	for _, b := range t.bridges {
		seen.Severs = append(seen.Severs, t.carriers(b, all)...)
	}
	slices.Sort(seen.Severs)
	return seen, nil
}

// ground is what DPDK is to stand on: the program, the memory, the processors,
// the NICs.
type ground struct {
	tables
	asked    map[string]string // other_config as it will be
	version  string            // what the program says of itself; empty where it was not asked
	warnings []string
}

func (g *ground) look(ctx context.Context, v host.View, restarts bool) error {
	nodes, err := readNodes(ctx, v)
	if err != nil {
		return err
	}
	if restarts {
		if err := g.builtWithDPDK(ctx, v); err != nil {
			return err
		}
		if err := g.memory(ctx, v, nodes); err != nil {
			return err
		}
	}
	return g.processors(ctx, v, nodes)
}

// builtWithDPDK asks the program that the next start takes. It is not the one
// that runs where another was installed or chosen since.
func (g *ground) builtWithDPDK(ctx context.Context, v host.View) error {
	program, err := vswitchdProgram(ctx, v)
	if err != nil {
		return err
	}
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{program, "--version"}})
	g.version = string(r.Stdout)
	switch {
	case errors.Is(err, host.ErrNotReady):
		return nil // the start itself says what is missing
	case err != nil:
		return err
	case strings.Contains(g.version, "DPDK"):
		return nil
	}
	return fmt.Errorf("%s was built without DPDK: install Open vSwitch with DPDK, and choose it where there are two (on Debian, package openvswitch-switch-dpdk and a step alternative \"ovs-vswitchd\"): %w", program, step.ErrNotYet)
}

// vswitchdProgram is the ovs-vswitchd that the unit starts, by ovs-ctl(8), which
// takes the one of its own prefix.
func vswitchdProgram(ctx context.Context, v host.View) (string, error) {
	u, err := v.Units.Unit(ctx, switchUnit)
	if err != nil {
		return "", err
	}
	if path.Base(u.ExecStart) == "ovs-vswitchd" {
		return u.ExecStart, nil
	}
	if prefix, ok := strings.CutSuffix(u.ExecStart, "/share/openvswitch/scripts/ovs-ctl"); ok {
		program := prefix + "/sbin/ovs-vswitchd"
		if _, err := v.Files.Stat(ctx, program); !errors.Is(err, fs.ErrNotExist) {
			return program, err
		}
	}
	return "ovs-vswitchd", nil
}

// Explain says why ovs-vswitchd did not come up: what it logged of its last
// start.
func (config) Explain(ctx context.Context, v host.View, n step.Need) string {
	if n.Object != switchUnit {
		return ""
	}
	return startLines(ctx, v)
}
