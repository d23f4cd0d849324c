package build

import (
	"context"
	"strings"

	"weft/engine/host"
)

// wordNames are what is filled into the arguments of programs.
func wordNames() []string {
	return []string{"{source}", "{build}", "{staging}", "{prefix}", "{jobs}"}
}

// unknownWord is a word in braces that nothing is filled in for.
func unknownWord(arg string) string {
	for _, name := range wordNames() {
		arg = strings.ReplaceAll(arg, name, "")
	}
	i := strings.IndexByte(arg, '{')
	j := strings.IndexByte(arg, '}')
	if i < 0 || j < i || i > 0 && arg[i-1] == '$' {
		return ""
	}
	return arg[i : j+1]
}

// as is a program run by the build user, where there is one, and gently: other
// work on the host comes first.
func (b build) as(argv ...string) []string {
	gentle := append([]string{"nice", "-n", "10"}, argv...)
	if b.user == "" {
		return gentle
	}
	return append([]string{"runuser", "-u", b.user, "--"}, gentle...)
}

// run is one effect of a program that is no part of the build itself.
func run(ctx context.Context, h host.Host, argv ...string) error {
	_, err := h.Commands.Run(ctx, host.Command{Argv: argv})
	return err
}

// rename moves a directory or file over what may not be there; rename(2).
func rename(ctx context.Context, h host.Host, from, to string) error {
	return run(ctx, h, "mv", "--no-target-directory", "--", from, to)
}

// removeAll removes a directory with all below, and stays on its file system.
func removeAll(ctx context.Context, h host.Host, dir string) error {
	return run(ctx, h, "rm", "-rf", "--one-file-system", "--", dir)
}
