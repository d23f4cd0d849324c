package language

import (
	"encoding/json"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// Sources are the files a configuration is made of.
type Sources struct {
	Playbook string // path; empty for none, as for `weft lab`
	// Inventories are paths, or lists of hosts: "a,b" or "a,".
	Inventories []string
	// Read reads every file, those of file() and templatefile() included, so
	// that a saved plan can record and replay them. [os.ReadFile] where nil.
	Read func(path string) ([]byte, error)
}

// Inputs are the values of variables, the last one winning in this order:
// default, environment, files, flags; then Ask for those that have none.
type Inputs struct {
	Flags []string // "name=value", or "name=@path" of a file that holds the value and perhaps a newline
	Files []string // paths of files with `name = value` in HCL
	// Decrypt opens a file of variables that is [Encrypted]; nil makes such
	// files mistakes. What comes from one is sensitive, whatever the variable
	// says.
	Decrypt func(path string, src []byte) ([]byte, error)
	// Environment is asked for WEFT_VAR_name; [os.LookupEnv], or nil.
	Environment func(string) (string, bool)
	// Ask is asked for variables without a value; nil makes them mistakes,
	// [LeaveUnknown] leaves them unknown, as `weft validate` does.
	Ask func(name string, sensitive bool) (string, error)
	// Tags, where there are any, leave out the steps that have none of them;
	// SkipTags leave out the steps that have one of them.
	Tags, SkipTags []string
}

// Program is a playbook with its variables and hosts: what is left to
// evaluate are the steps. Its methods are safe for concurrent use.
type Program struct {
	Playbook string // path
	Site     string // of the inventory; "default" where it does not say
	Hosts    []*Host
	Plays    []*Play
	Lab      *Lab // nil where the inventory describes none
	// Secrets are the texts of sensitive variables, to scrub from what
	// others print. Short ones are among them.
	Secrets []string

	config *Config
	values *values
	sealed map[string]bool // variables with values of encrypted files
	memo   []memoSlot
}

// Host is a machine of the inventory.
type Host struct {
	Name    string
	Address string   // where SSH connects to; the name where none is given
	Groups  []string // in the order of the inventory
	Roles   []string // its own, then those of its groups
	SSH     SSH
	NICs    []NIC // for the lab
	VM      *VM   // for the lab; nil for a host in namespaces
}

// SSH is how a host is reached, as its and its groups' `ssh` blocks say. What
// is zero is left to ssh_config(5).
type SSH struct {
	User          string
	Port          int
	Become        *bool // whether to use sudo; nil where not said
	IdentityFiles []string
	ProxyJump     string // as in ssh_config(5): "user@host:port,…"
}

// NIC is a network interface that the lab gives to a host.
type NIC struct {
	Name    string
	Network string // of the lab
	Address string // with its prefix length; empty for none
	MAC     string // empty for one that the lab makes up
	Model   string // of a virtual machine's card; empty for the lab's choice
}

// Lab is what `weft lab` boots.
type Lab struct {
	Name  string
	Image string // "debian-12"; empty for the release of the machine itself
	// Repository are the packages, with what they depend on, that the
	// lab's local repository offers.
	Repository []string
	Networks   []LabNetwork
}

// LabNetwork is an Ethernet segment of a lab.
type LabNetwork struct {
	Name   string
	CIDR   string // of the lab's side; empty for none
	Access bool   // the machine itself joins it
	Wire   bool   // it is a cable between two NICs
}

// Play is a set of hosts and their steps.
type Play struct {
	Name        string
	Description string
	Hosts       []string // names, in the order that the play gives
	Serial      int      // hosts at a time; 0 for all
	MaxFailures int      // of a batch
	Continue    bool     // runs on the hosts that are still good after a failure before
	OnFailure   string   // one of the constants below
	// Reboot is what becomes of a reboot that a step needs; empty where the
	// play does not say.
	Reboot step.RebootPolicy
	Steps  []Step // as written, lists of steps laid out

	index    int
	guard    time.Duration // of each step that changes something and has none of its own
	limit    time.Duration // of each step that has none of its own
	steps    []*stepDef
	selected []bool // by step: whether the tags leave it in
	named    *playNames
	members  map[string]bool // Hosts
	// unknown says that the hosts are not known: no inventory was given.
	unknown bool
}

// Step is a step of a play before it is evaluated, for lists and graphs.
type Step struct {
	Address string // KIND.NAME
	Kind    string
	Name    string
	Tags    []string
	ForEach bool
	File    string
	Line    int
}

// OnFailure values of a play: what is taken back where it fails.
const (
	Rollback    = "rollback"     // on a host that fails, what the run did to it in this play
	Stop        = "stop"         // nothing
	RollbackRun = "rollback_run" // on a host that fails, what the run did to it in all plays
	RollbackAll = "rollback_all" // where more hosts fail than may, the whole run on all hosts, the last play first
)

// Known is what is known of the hosts so far. Its functions must be safe for
// concurrent use.
type Known struct {
	// Facts of a host; nil where they are not known.
	Facts func(host string) *host.Facts
	// Outputs of a step: an object, in which a key that is missing is not
	// known yet; nil where nothing is known yet; JSON null where the step was
	// left out by its `when`, which makes all outputs null.
	Outputs func(host, address string) json.RawMessage
	// Lost says whether a host failed or was not reached, so that outputs of it
	// which are not known yet never will be. Nil where no host is lost.
	Lost func(host string) bool
	// Memo, where given, keeps what the evaluations of several hosts have
	// in common. Give the same one to all hosts of a play, and a new one
	// once facts or outputs of any host are known better.
	Memo *Memo
}

// The entries of a unit's Unknown that are not attributes. Such a unit has no
// spec and is not to be sent.
const (
	UnknownWhen = "when"     // whether there is such a step
	UnknownEach = "for_each" // how many there are; the address has no key
)

// Evaluation is what a play is on one host.
type Evaluation struct {
	Units   []step.Unit
	Skipped []Skip
	// Aside are steps that the tags leave out, but whose outputs others
	// name: to be checked for their outputs, never applied.
	Aside []step.Unit
}

// Skip is a step that is left out.
type Skip struct {
	Address string
	Reason  SkipReason
}

// SkipReason says why a step is left out.
type SkipReason string

// The reasons.
const (
	ByWhen SkipReason = "when"
	ByTags SkipReason = "tags"
)

// Reads is what the steps of a play on a host want to know before they can be
// evaluated.
type Reads struct {
	Facts  bool // of the host itself
	Others []Read
}

// Read names what is wanted of another host.
type Read struct {
	Host  string
	Facts bool
	Steps []string // addresses, without keys
}
