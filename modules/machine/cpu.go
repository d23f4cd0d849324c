package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/cpus"
	"weft/engine/step"
)

// CPUIsolationSpec is the spec of kind cpu_isolation.
type CPUIsolationSpec struct {
	CPUs  string     `json:"cpus,omitzero" doc:"Processors to keep free, as the kernel lists them: \"2-5,8\". Required unless the state is absent."`
	State step.State `json:"state,omitzero" default:"present" doc:"If absent, no file keeps services and interrupts off any processor, and interrupts may use all from now on; services that run keep what they have until a boot."`
}

// CPUIsolationOutputs are the outputs of kind cpu_isolation.
type CPUIsolationOutputs struct {
	Mask string `json:"mask" doc:"The isolated processors as a mask, for pmd-cpu-mask: 0x13c."`
	Host string `json:"host" doc:"The processors that are left for the host, as a list: 0-1,6-7."`
}

// Validate finds what is no list.
func (s *CPUIsolationSpec) Validate() []step.Problem {
	if !s.State.There() && s.CPUs == "" {
		return nil
	}
	if set, err := cpus.Parse(s.CPUs); err != nil {
		return []step.Problem{{Path: "cpus", Message: err.Error(), Hint: `write it as "2-5,8"`}}
	} else if len(set) == 0 {
		return []step.Problem{{Path: "cpus", Message: "is missing"}}
	}
	return nil
}

func cpuIsolationKind() step.Kind {
	return step.Kind{
		Name:    "cpu_isolation",
		Summary: "Processors kept free of the host's services and interrupts, for PMD threads and pinned guests.",
		Doc: `Keeping processors free has two parts, and two steps. The scheduler's part, the timer tick and RCU are arguments of the kernel,
which have one writer:

    step "kernel_cmdline" "isolation" {
      args = ["isolcpus=managed_irq,domain,2-5,8", "nohz_full=2-5,8", "rcu_nocbs=2-5,8"]
    }
    step "cpu_isolation" "dpdk" {
      cpus = "2-5,8"
    }

This kind is the other part: services get the other processors (CPUAffinity= in /etc/systemd/system.conf.d/weft-cpu-isolation.conf),
and so do interrupts that are requested from now on (/proc/irq/default_smp_affinity, for the boot by tmpfiles.d(5)). Services that run keep the processors they
have, so the step needs a reboot until the first process has others; interrupts that are there move with it too. Where the
kernel's arguments are missing the plan warns and names them.

irqbalance keeps off isolated processors by itself once the kernel has them so (isolcpus, nohz_full), and needs no setting. Guests of libvirt and PMD threads
of Open vSwitch set their own processors, and are not held back.

A list that names processors the host does not have, or that leaves it none, is refused.`,
		Spec:    CPUIsolationSpec{},
		Outputs: CPUIsolationOutputs{},
		Example: `step "cpu_isolation" "dpdk" {
  cpus = "2-5,8"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[CPUIsolationSpec](u)
			if err != nil {
				return nil, err
			}
			want, err := spec.state()
			if err != nil {
				return nil, err
			}
			const object = "isolation of processors"
			return isolationStep{step.Of(object, isolations{}, want), step.Of(object, isolationsLater{}, want)}, nil
		},
	}
}

// isolationStep is a step whose undo leaves to a boot what only a boot brings.
type isolationStep struct {
	step.Step
	later step.Step
}

// Undo brings back the files and the interrupts.
func (s isolationStep) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	return s.later.Undo(ctx, h, f)
}

// isolation is the state of a host's processors: lists of those that are kept
// free of something.
type isolation struct {
	CPUs isolated `json:"cpus,omitzero"`
	// Directory says that systemd's directory for the file is there, and holds
	// nothing else; absent, that it was not and is to go again.
	Directory step.Attr[bool] `json:"directory,omitzero"`

	Present    cpus.Set          `json:"present,omitzero" weft:"found"`
	Conf       step.Attr[string] `json:"conf,omitzero" weft:"found"`
	Tmpfiles   step.Attr[string] `json:"tmpfiles,omitzero" weft:"found"`
	Unisolated []string          `json:"unisolated,omitzero" weft:"found"` // kernel arguments that are missing
	Shared     []string          `json:"shared,omitzero" weft:"found"`     // cores that are half isolated
}

// isolated is what processors are kept free of: now, and at boot, where absent
// means that no file says anything.
type isolated struct {
	ServicesNow    step.Attr[string] `json:"services_now,omitzero"`
	ServicesBoot   step.Attr[string] `json:"services_boot,omitzero"`
	InterruptsNow  step.Attr[string] `json:"interrupts_now,omitzero"`
	InterruptsBoot step.Attr[string] `json:"interrupts_boot,omitzero"`
}

// state is what the spec asks for.
func (s CPUIsolationSpec) state() (isolation, error) {
	if !s.State.There() {
		none, free := step.None[string](), step.Is("")
		return isolation{CPUs: isolated{ServicesBoot: none, InterruptsNow: free, InterruptsBoot: none}}, nil
	}
	set, err := cpus.Parse(s.CPUs)
	list := step.Is(set.String())
	return isolation{CPUs: isolated{list, list, list, list}}, err
}

type isolations struct{}

// Diff compares all; a directory that is there is nobody's wish.
func (isolations) Diff(have, want isolation) []step.Delta {
	return slices.DeleteFunc(step.Compare(have, want), func(d step.Delta) bool { return d.Path == "directory" && d.To != nil })
}

// Advise says what a boot must bring, and what the kernel's arguments lack.
func (isolations) Advise(f *step.Finding, have, want isolation) {
	set, err := cpus.Parse(want.CPUs.InterruptsNow.Or(""))
	if err == nil {
		f.Outputs, _ = json.Marshal(CPUIsolationOutputs{Mask: "0x" + strings.ReplaceAll(set.Mask(), ",", ""), Host: have.Present.Without(set).String()})
	}
	for _, d := range f.Deltas {
		if d.Path == "cpus.services_now" {
			f.Needs = append(f.Needs, step.Need{Verb: step.Reboot, Object: step.Machine})
		}
	}
	if len(set) == 0 {
		return
	}
	if len(have.Unisolated) > 0 {
		f.Warnings = append(f.Warnings, fmt.Sprintf("the kernel runs without %s: it still puts threads and its own work there; a kernel_cmdline step sets them", strings.Join(have.Unisolated, " ")))
	}
	f.Warnings = append(f.Warnings, have.Shared...)
}

// isolationsLater leaves out what only a boot brings.
type isolationsLater struct{ isolations }

// Diff leaves out the processors of what runs.
func (r isolationsLater) Diff(have, want isolation) []step.Delta {
	return slices.DeleteFunc(r.isolations.Diff(have, want), func(d step.Delta) bool { return d.Path == "cpus.services_now" })
}
