package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"weft/engine/control/kept"
	"weft/engine/control/run"
	"weft/engine/language"
)

// keptFlags are those that a run goes on with when it is resumed: how hosts are
// reached, and what becomes of failures. Those whose value is a file are true.
var keptFlags = map[string]bool{
	"user": false, "become": false, "ask-become-pass": false, "become-password-file": true, "ask-pass": false,
	"password-file": true, "private-key": true, "ssh-config": true, "host-keys": false, "connect-timeout": false,
	"forks": false, "no-rollback": false, "guard-time": false, "commit-by-hand": false, "allow-disruption": false, "identity": true,
	"reboot": false, "reboot-timeout": false,
}

// given are the flags to keep that are not as they are by default.
func given(fs *pflag.FlagSet) map[string][]string {
	out := map[string][]string{}
	fs.VisitAll(func(fl *pflag.Flag) {
		isFile, keep := keptFlags[fl.Name]
		if !keep || fl.Value.String() == fl.DefValue {
			return
		}
		values := []string{fl.Value.String()}
		if list, is := fl.Value.(pflag.SliceValue); is {
			values = slices.Clone(list.GetSlice())
		}
		for i, v := range values {
			if isFile && !strings.HasPrefix(v, "~") {
				if whole, err := filepath.Abs(v); err == nil { // else it is as good as before
					values[i] = whole
				}
			}
		}
		out[fl.Name] = values
	})
	return out
}

// restore sets flags that were not typed to what was kept.
func restore(fs *pflag.FlagSet, values map[string][]string) error {
	for name, v := range values {
		fl := fs.Lookup(name)
		if fl == nil || fl.Changed || len(v) == 0 {
			continue
		}
		err := fl.Value.Set(v[0])
		if list, is := fl.Value.(pflag.SliceValue); is {
			err = list.Replace(v)
		}
		if err != nil {
			return fmt.Errorf("--%s of the run that is resumed: %w", name, err)
		}
	}
	return nil
}

// keeper keeps one run. What it cannot write is a warning: hosts are not to
// wait for a disk here.
type keeper struct {
	s    streams
	run  kept.Run
	part bool // what is done now is not all of the run
}

// newKeeper notes what a run is made of.
func newKeeper(s streams, f *flags, fs *pflag.FlagSet, id string, p *language.Program, files *recorder) *keeper {
	return &keeper{s: s, run: kept.Run{ID: id, Began: time.Now(), Sources: f.sources(p, files), Flags: given(fs)}}
}

// sources is what a program was made of, without secrets.
func (f *flags) sources(p *language.Program, files *recorder) run.Saved {
	saved := run.Saved{
		Build: build(), Playbook: p.Playbook, Inventories: f.inventories,
		VarFiles: f.varFiles, Limit: f.limit, Tags: f.tags, SkipTags: f.skipTags,
	}
	saved.Files, saved.Vars, saved.Environment = files.secretless(p, f.vars, f.varFiles)
	return saved
}

// begin keeps the run before its first change.
func (k *keeper) begin() {
	k.run.Exit = nil
	k.put()
}

// end notes what it came to.
func (k *keeper) end(exit run.Exit) {
	if !k.part || exit != run.OK {
		k.run.Exit = &exit
	}
	k.put()
}

// rebooting notes which hosts are away, for whoever resumes the run meanwhile.
func (k *keeper) rebooting(away []string) {
	k.run.Rebooting = away
	k.put()
}

func (k *keeper) put() {
	store, err := kept.Open(k.s.environment)
	if err == nil {
		err = store.Put(&k.run)
	}
	if err != nil {
		fmt.Fprintf(k.s.err, "weft: warning: `weft resume %s` will not know this run: %v\n", k.run.ID, err)
	}
}
