package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"weft/engine/control/view"
	"weft/engine/step"
	"weft/modules"
)

func modulesCommand(s streams) *cobra.Command {
	var markdown bool
	var output string
	cmd := &cobra.Command{
		Use:   "modules [KIND]",
		Short: "List the kinds of steps, or describe one",
		Args:  cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return kindNames(modules.Kinds()), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			kinds := modules.Kinds()
			switch {
			case markdown:
				return view.Reference(s.out, kinds)
			case output == "json":
				return json.NewEncoder(s.out).Encode(view.Describe(kinds))
			case len(args) == 1:
				k, ok := kinds[args[0]]
				if !ok {
					return fmt.Errorf("there is no kind %q; `weft modules` lists them", args[0])
				}
				return view.Kind(s.out, k)
			}
			w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			for _, name := range kindNames(kinds) {
				fmt.Fprintf(w, "%s\t%s\n", name, kinds[name].Summary)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the whole reference in Markdown")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`format`: text or json")
	return cmd
}

func kindNames(t step.Table) []string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
