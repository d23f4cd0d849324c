package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weft/engine/language"
	"weft/modules"
)

func validateCommand(s streams) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "validate PLAYBOOK",
		Short: "Find every mistake in a playbook without touching a host",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, diags := language.Load(modules.Kinds(), language.Sources{Playbook: args[0], Inventories: f.inventories})
			if config == nil {
				return report(s, diags)
			}
			program, more := config.Bind(language.Inputs{
				Flags: f.vars, Files: f.varFiles, Environment: s.environment, Ask: language.LeaveUnknown,
				Decrypt: s.opener(cmd.Context(), &f).Open,
			})
			diags = append(diags, more...)
			if program != nil {
				diags = append(diags, program.Validate()...)
			}
			if err := report(s, diags); err != nil {
				return err
			}
			steps := 0
			for _, p := range program.Plays {
				steps += len(p.Steps)
			}
			fmt.Fprintf(s.out, "%s is valid: %s, %s, %s\n", args[0],
				plural(len(program.Plays), "play"), plural(steps, "step"), plural(len(program.Hosts), "host"))
			return nil
		},
	}
	f.source(cmd.Flags())
	return cmd
}
