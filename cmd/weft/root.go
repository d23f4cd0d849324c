package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func rootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "weft",
		Short: "Provision Open vSwitch and OVN hypervisors over SSH",
		Long: `Weft turns bare machines into an Open vSwitch / OVN cluster over SSH, from
playbooks in HCL. A plan changes nothing; an apply checks before it acts, verifies
what it did, proves it with packets, and takes back what failed.

Exit status: 0 ok, 1 usage or configuration, 2 changes pending (with
--detailed-exitcode), 3 a host failed, 4 unreachable, 5 rolled back, 6 locked by
another run, 7 a probe failed, 130 interrupted.`,
		Version:       build(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return fromEnvironment(cmd, s.environment)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w (see `%s --help`)", err, cmd.CommandPath())
	})
	root.AddCommand(
		validateCommand(s), fmtCommand(s),
		planCommand(s), applyCommand(s),
		resumeCommand(s), commitCommand(s),
		rollbackCommand(s), runsCommand(s), gcCommand(s),
		factsCommand(s), graphCommand(s), traceCommand(s), execCommand(s), preflightCommand(s),
		modulesCommand(s), labCommand(s), versionCommand(s),
	)
	return root
}
