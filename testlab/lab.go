package testlab

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Lab is one lab on this machine, running or not.
type Lab struct {
	spec    Spec
	options Options
}

// Open checks a description and returns its lab. It touches nothing.
func Open(spec Spec, options Options) (*Lab, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := spec.Check(); err != nil {
		return nil, err
	}
	return &Lab{spec: spec, options: options}, nil
}

// Find returns the lab of that name as Up left it, without its description: enough for all but Up. Where Up was never
// asked, or Down has been, the error is ErrNoLab, unless something of the lab is left over: then Down can still be asked.
func Find(name string, options Options) (*Lab, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if !labelPattern.MatchString(name) {
		return nil, fmt.Errorf("%q is not the name of a lab", name)
	}
	l := &Lab{spec: Spec{Name: name}, options: options}
	r, err := readRecord(l.recordPath())
	switch {
	case err == nil:
		l.spec = r.Spec
		l.spec.Name = name
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read what is known of lab %s: %w", name, err)
	case !l.remains():
		return nil, fmt.Errorf("lab %s: %w", name, ErrNoLab)
	}
	return l, nil
}

// State is how far a host is.
type State string

// The states of a host.
const (
	// HostDown: nothing of it runs.
	HostDown State = "down"
	// HostBooting: its init runs and its sshd does not answer, not yet or no longer.
	HostBooting State = "booting"
	// HostUp: its sshd answers.
	HostUp State = "up"
)

// HostStatus is what Status says of one host.
type HostStatus struct {
	Name  string
	State State
	// Address is the one to log in at; Address6 its companion over IPv6, empty where there is none.
	Address, Address6 string
	// Boots counts how often the host was booted since it was made: 1 after the first Up.
	Boots int
	// Since is when it was last booted; zero if never.
	Since time.Time
	// Console is the file that holds what the host wrote to its console, all boots in one.
	Console string
	// Reason says why a host that is down went down, as far as the supervisor could tell.
	Reason string
}
