package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"weft/engine/language"
)

func fmtCommand(s streams) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE | FOLDER | -]...",
		Short: "Write playbooks and inventories in the canonical layout",
		Long: `Fmt rewrites files in the canonical layout and names those it changed. A
folder stands for the .hcl files below it, - for standard input to standard
output; nothing named means the current folder. A file with a mistake of syntax
is reported and left as it is.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			return format(s, args, check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; status 1 where a file is not in the layout")
	return cmd
}

func format(s streams, args []string, check bool) error {
	var diags language.Diagnostics
	untidy := false
	for _, arg := range args {
		paths, err := hclFiles(arg)
		if err != nil {
			return err
		}
		for _, path := range paths {
			changed, d, err := formatFile(s, path, check)
			if err != nil {
				return err
			}
			diags = append(diags, d...)
			untidy = untidy || changed
		}
	}
	if err := report(s, diags); err != nil {
		return err
	}
	if check && untidy {
		return exitWith(1)
	}
	return nil
}

// hclFiles are the files that an argument stands for.
func hclFiles(arg string) ([]string, error) {
	if arg == "-" {
		return []string{"-"}, nil
	}
	var paths []string
	err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (path == arg || filepath.Ext(path) == ".hcl") {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}

func formatFile(s streams, path string, check bool) (changed bool, diags language.Diagnostics, err error) {
	if path == "-" {
		src, err := io.ReadAll(s.in)
		if err != nil {
			return false, nil, fmt.Errorf("read standard input: %w", err)
		}
		out, diags := language.Format("standard input", src)
		_, err = s.out.Write(out)
		return !bytes.Equal(src, out), diags, err
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return false, nil, err
	}
	out, diags := language.Format(path, src)
	if diags.Failed() || bytes.Equal(src, out) {
		return false, diags, nil
	}
	fmt.Fprintln(s.out, path)
	if check {
		return true, diags, nil
	}
	return true, diags, replaceFile(path, out)
}

// replaceFile writes a file as a whole or not at all, and keeps its mode.
func replaceFile(path string, content []byte) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	t, err := os.CreateTemp(filepath.Dir(path), ".weft-*")
	if err != nil {
		return err
	}
	_, err = t.Write(content)
	err = errors.Join(err, t.Chmod(mode), t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(t.Name()))
	}
	return nil
}
