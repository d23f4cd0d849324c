package testlab

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Options say where a lab keeps what it keeps. The zero value is what the command line uses.
type Options struct {
	// State is the directory of all labs' states; empty means /var/lib/weft-lab. It must not lie on an overlay.
	State string
	// Cache is the directory of images and repositories; empty means /var/cache/weft-lab. Labs share it.
	Cache string
	// Supervisor is the command that runs Supervise with one more argument, the directory of a host's state. Empty means
	// this program with the arguments "lab supervise".
	Supervisor []string
	// Owner is the user id that may read the lab's private key, beside root: the one who called sudo.
	Owner int
	// Disk is the size in bytes of the disks of hosts that Up makes: what they can write before it is full. Zero leaves
	// them as much as the machine has. Hosts that are there keep theirs.
	Disk int64
	// Log receives a line for each stage that takes time. Nil means silence. It is called by several goroutines.
	Log func(line string)
}

func (o Options) withDefaults() (Options, error) {
	o.State = cmp.Or(o.State, "/var/lib/weft-lab")
	o.Cache = cmp.Or(o.Cache, "/var/cache/weft-lab")
	for _, dir := range []string{o.State, o.Cache} {
		if !filepath.IsAbs(dir) || strings.ContainsAny(dir, ":,\\\"\n") {
			return o, fmt.Errorf("the lab's directory %q must be an absolute path without colon, comma, quote or backslash", dir)
		}
	}
	if len(o.Supervisor) == 0 {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find the path of this program, which supervises the hosts: %w", err)
		}
		o.Supervisor = []string{self, "lab", "supervise"}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	return o, nil
}

// record is what a lab remembers of itself, in lab.json: what Up was last asked for and what it built that on.
type record struct {
	Spec       Spec
	Image      string // directory of the image's root
	Repository string // directory of the repository, empty for none
	// VMs are the virtual machines by the names of their hosts.
	VMs map[string]vmMachine `json:",omitempty"`
}

// ErrNoLab says that no lab of that name exists on this machine.
var ErrNoLab = errors.New("there is no such lab on this machine")

func (l *Lab) dir() string             { return filepath.Join(l.options.State, l.spec.Name) }
func (l *Lab) recordPath() string      { return filepath.Join(l.dir(), "lab.json") }
func (l *Lab) sshDir() string          { return filepath.Join(l.dir(), "ssh") }
func (l *Lab) hostDir(h string) string { return filepath.Join(l.dir(), "hosts", h) }

// SSHConfigPath is the file for ssh -F.
func (l *Lab) SSHConfigPath() string { return filepath.Join(l.sshDir(), "config") }

func readRecord(path string) (record, error) {
	var r record
	err := readJSON(path, &r)
	return r, err
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, value any, mode fs.FileMode) error {
	data, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFile(path, append(data, '\n'), mode)
}

// writeFile replaces a file whole: a reader sees the old content or the new one, also when we are killed in between.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, mode); err != nil {
		return err
	}
	if err := os.Chmod(temporary, mode); err != nil { // whatever the umask and an older file said
		return err
	}
	return os.Rename(temporary, path)
}
