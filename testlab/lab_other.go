//go:build !linux

package testlab

import (
	"context"
	"errors"
)

// ErrNoLinux says that this machine's kernel has no namespaces to make hosts of.
var ErrNoLinux = errors.New("a lab needs Linux: run it in a virtual machine with Debian or Ubuntu")

// Packages are the packages a lab needs on this machine.
func Packages() []string { return nil }

// Check says what this machine lacks for a lab.
func Check(Options) error { return ErrNoLinux }

// Supervise is what the supervisor of one host runs.
func Supervise(string) error { return ErrNoLinux }

func (l *Lab) remains() bool { return false }

// Up boots the lab.
func (l *Lab) Up(context.Context) error { return ErrNoLinux }

// Down takes the lab away.
func (l *Lab) Down(context.Context) error { return ErrNoLinux }

// Status says how each host is.
func (l *Lab) Status(context.Context) ([]HostStatus, error) { return nil, ErrNoLinux }

// Reboot asks a host to reboot.
func (l *Lab) Reboot(context.Context, string) error { return ErrNoLinux }

// PowerCycle cuts a host's power and boots it.
func (l *Lab) PowerCycle(context.Context, string) error { return ErrNoLinux }

// Cut pulls a host's cables.
func (l *Lab) Cut(context.Context, string, string) error { return ErrNoLinux }

// Mend plugs them in again.
func (l *Lab) Mend(context.Context, string) error { return ErrNoLinux }

// Fill leaves no byte free on a host's disk.
func (l *Lab) Fill(context.Context, string) error { return ErrNoLinux }

// Free takes away what Fill put there.
func (l *Lab) Free(context.Context, string) error { return ErrNoLinux }

// Reinstall makes a host anew.
func (l *Lab) Reinstall(context.Context, string) error { return ErrNoLinux }

// ColdBoot cuts the power of all hosts at once and boots them.
func (l *Lab) ColdBoot(context.Context) error { return ErrNoLinux }
