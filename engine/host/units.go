package host

import "context"

// Unit is the state of a systemd unit, in the words of
// org.freedesktop.systemd1(5).
type Unit struct {
	Name         string
	LoadState    string // "loaded", "not-found", "masked", …
	ActiveState  string // "active", "inactive", "failed", "activating", …
	SubState     string // "running", "exited", "dead", …
	FileState    string // UnitFileState: "enabled", "disabled", "static", "masked", "generated", …
	FragmentPath string // the unit's file
	Type         string // of a service: "simple", "forking", "oneshot", …; else empty
	ExecStart    string // path of the program of a service, empty where it has none
	MainPID      int    // 0 where no process runs
	Triggers     string // the service that a socket starts; else empty
	StartedAt    int64  // ActiveEnterTimestampMonotonic, microseconds; 0 if never
	Stale        bool   // NeedDaemonReload: its files changed since systemd read them
}

// UnitReader asks systemd.
type UnitReader interface {
	// Unit returns the state of one unit by its full name ("ssh.service").
	// A unit that does not exist has the LoadState "not-found" and is no
	// error. The error wraps [ErrNotReady] where no systemd runs.
	Unit(ctx context.Context, name string) (Unit, error)
}

// UnitVerb is an order to systemd.
type UnitVerb string

// The orders that weft gives. Reload is daemon-reload, and takes no unit. Nor
// does Reboot, which boots the machine anew and returns when systemd has taken
// the order: whoever gave it is ended soon.
const (
	Start   UnitVerb = "start"
	Stop    UnitVerb = "stop"
	Restart UnitVerb = "restart"
	Enable  UnitVerb = "enable"
	Disable UnitVerb = "disable"
	Mask    UnitVerb = "mask"
	Unmask  UnitVerb = "unmask"
	Reload  UnitVerb = "daemon-reload"
	Reboot  UnitVerb = "reboot"
)

// UnitWriter gives orders to systemd.
type UnitWriter interface {
	// Do gives one order and waits until its job has ended: one effect. A
	// job that fails is an error that carries the last lines of the unit's
	// log. Enable, disable, mask and unmask reload systemd afterwards.
	Do(ctx context.Context, verb UnitVerb, unit string) error
}

// Units is the door to systemd.
type Units interface {
	UnitReader
	UnitWriter
}
