package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

// gcPlaybook is the name of the playbook that is built in. No file is called so:
// the colon keeps it apart from a path that somebody typed.
const gcPlaybook = "weft:gc.hcl"

//go:embed gc.hcl
var gcText []byte

func gcCommand(s streams) *cobra.Command {
	var f flags
	var only bool
	cmd := &cobra.Command{
		Use:   "gc -i INVENTORY",
		Short: "Remove what dead guests and reinstalled hosts left behind",
		Long: `Gc plans, shows the plan, asks, and removes what is provably dead and nobody's:

  ports     of a compute's integration bridge whose guest is gone. They go when they
            were seen dead twice in one boot: the first pass notes them, a later one,
            a minute after at least, removes them (-e after=5m for a longer time).
  guests'   logical ports, once no hypervisor has the guest, running or not, and all could
  ports     be asked. They are known by external_ids:weft-vm; one that is up stays. Computes
            that have no libvirt count as not asked: -e 'hypervisors=["h1","h2"]' names
            those that may have guests.
  chassis   of the southbound database whose end of a tunnel a compute has by now under
            another name, as a host that was installed anew has.

What is only silent stays, and so does what a host that cannot be reached would have
to prove; both are named. Chassis that are no compute's of the inventory are a warning.

It is an apply of a playbook that is built in, for hosts of the roles central and
compute: weft rollback takes it back, weft resume goes on with it, and where there is
nothing to remove it changes nothing. --plan only shows what would go.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := builtIn(s.inputs(cmd.Context()))
			if only {
				return plan(cmd.Context(), s, &f, gcPlaybook, in, "")
			}
			t, err := newTask(cmd, s, &f, gcPlaybook, in, "weft gc")
			if err != nil {
				return err
			}
			defer t.close()
			t.run.Plan(cmd.Context())
			if !t.run.Changes() && cmd.Context().Err() == nil {
				t.screen.plan(t.program, t.run.Planned()) // what was seen and stays
			}
			return t.carryOut(cmd.Context(), false)
		},
	}
	cmd.Flags().BoolVar(&only, "plan", false, "show what would be removed, and change nothing")
	f.source(cmd.Flags())
	f.scope(cmd.Flags())
	f.connection(cmd.Flags())
	f.change(cmd.Flags())
	f.screen(cmd.Flags())
	cmd.Flags().BoolVar(&f.detailedExit, "detailed-exitcode", false, "with --plan: status 2 where there is something to remove")
	return cmd
}

// builtIn has the built-in playbook among the files.
func builtIn(in inputs) inputs {
	files := in.read
	in.read = func(path string) ([]byte, error) {
		if path == gcPlaybook {
			return gcText, nil
		}
		return files(path)
	}
	return in
}
