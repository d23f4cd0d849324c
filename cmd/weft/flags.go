package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flags are those that several verbs share. Every flag can be given as
// WEFT_NAME in the environment as well, with dashes as underscores.
type flags struct {
	inventories []string
	limit       []string
	tags        []string
	skipTags    []string
	vars        []string
	varFiles    []string
	identities  []string

	forks          int
	lockTimeout    time.Duration
	connectTimeout time.Duration
	noRollback     bool
	guardTime      time.Duration
	reboot         string
	rebootTime     time.Duration
	awaited        []string // hosts that the run which is resumed told to reboot
	byHand         bool
	disruption     bool
	timeLimit      time.Duration
	failedFile     string
	yes            bool
	detailedExit   bool
	resumed        string   // the run that goes on; a new one where empty
	within         []string // the hosts that --limit leaves of its own; all where nil

	user         string
	become       bool
	askBecome    bool
	becomeFile   string
	askPassword  bool
	passwordFile string
	privateKeys  []string
	sshConfig    []string
	hostKeys     string

	output  string
	noColor bool
	verbose int
}

func (f *flags) source(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.inventories, "inventory", "i", nil, "inventory `file`, or a list of hosts: a,b or a, (repeatable)")
	fs.StringArrayVarP(&f.vars, "var", "e", nil, "set a variable: `name=value`, or name=@file that holds the value (repeatable)")
	fs.StringArrayVar(&f.varFiles, "var-file", nil, "`file` of variables: name = value in HCL, perhaps encrypted with age (repeatable)")
	fs.StringArrayVar(&f.identities, "identity", nil, "`file` with an age identity that opens encrypted files of variables (~/.config/weft/identity where not given; repeatable)")
}

func (f *flags) scope(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.limit, "limit", "l", nil, "only these `hosts`: names, globs, groups, roles, !not, @file")
	fs.StringSliceVarP(&f.tags, "tags", "t", nil, "only steps with one of these `tags`")
	fs.StringSliceVar(&f.skipTags, "skip-tags", nil, "leave out steps with one of these `tags`")
}

func (f *flags) connection(fs *pflag.FlagSet) {
	fs.IntVarP(&f.forks, "forks", "f", 64, "hosts worked at side by side")
	fs.StringVarP(&f.user, "user", "u", "", "log in as this `user`")
	fs.BoolVarP(&f.become, "become", "b", false, "become root by sudo (done by itself for users other than root)")
	fs.BoolVarP(&f.askBecome, "ask-become-pass", "K", false, "ask for sudo's password")
	fs.StringVar(&f.becomeFile, "become-password-file", "", "`file` with sudo's password")
	fs.BoolVarP(&f.askPassword, "ask-pass", "k", false, "ask for the SSH password")
	fs.StringVar(&f.passwordFile, "password-file", "", "`file` with the SSH password")
	fs.StringArrayVar(&f.privateKeys, "private-key", nil, "private key `file` (repeatable)")
	fs.StringArrayVar(&f.sshConfig, "ssh-config", nil, "ssh_config `file` read before the user's (repeatable)")
	fs.StringVar(&f.hostKeys, "host-keys", "", "unknown host keys: strict or accept-new (as ssh_config says where empty)")
	fs.DurationVar(&f.connectTimeout, "connect-timeout", 10*time.Second, "how long to wait for a host to answer")
}

func (f *flags) change(fs *pflag.FlagSet) {
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask before changing anything")
	f.lock(fs)
	fs.BoolVar(&f.noRollback, "no-rollback", false, "leave a failed play as it is, as on_failure = \"stop\" does")
	fs.DurationVar(&f.guardTime, "guard-time", time.Minute, "how long a host waits for a confirmation of a change that may cut the way to it")
	fs.BoolVar(&f.byHand, "commit-by-hand", false, "leave it to you to confirm guarded changes, with weft commit")
	fs.BoolVar(&f.disruption, "allow-disruption", false, "change also what cuts virtual machines off that run, for as long as it takes; the plan names them")
	fs.DurationVar(&f.timeLimit, "time-limit", 0, "the longest that the changes may take; what is at work then is ended, and hosts that are not done fail (0 for no limit)")
	fs.StringVar(&f.reboot, "reboot", "", "what becomes of reboots that changes need, whatever plays say: auto, never or staged")
	fs.DurationVar(&f.rebootTime, "reboot-timeout", 10*time.Minute, "how long a host that reboots may take for one boot")
	fs.StringVar(&f.failedFile, "failed-file", "", "write the names of the hosts that failed to `file`, for --limit @FILE")
}

func (f *flags) lock(fs *pflag.FlagSet) {
	fs.DurationVar(&f.lockTimeout, "lock-timeout", 0, "how long to wait for another run's lease on a host")
}

func (f *flags) screen(fs *pflag.FlagSet) {
	fs.StringVarP(&f.output, "output", "o", "text", "`format`: text or json")
	fs.BoolVar(&f.noColor, "no-color", false, "no colours (NO_COLOR does it as well)")
	fs.CountVarP(&f.verbose, "verbose", "v", "show more; -vv needs and connections, -vvv everything")
}

// fromEnvironment sets each flag that was not given from WEFT_NAME.
func fromEnvironment(cmd *cobra.Command, environment func(string) (string, bool)) error {
	var mistake error
	cmd.Flags().VisitAll(func(fl *pflag.Flag) {
		name := "WEFT_" + strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		value, ok := environment(name)
		if !ok || fl.Changed || mistake != nil || fl.Name == "help" {
			return
		}
		if err := cmd.Flags().Set(fl.Name, value); err != nil {
			mistake = fmt.Errorf("%s in the environment: %w", name, err)
		}
		fl.Changed = false // it was not typed
	})
	return mistake
}
