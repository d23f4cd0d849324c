package host

import (
	"context"
	"fmt"
)

// VirtualObject is what libvirt calls a thing that has a definition.
type VirtualObject string

// The objects that weft manages.
const (
	VirtualDomain  VirtualObject = "domain"
	VirtualNetwork VirtualObject = "network"
)

// Virtual is a domain (a virtual machine) or a network of libvirt as it is, see
// https://libvirt.org/formatdomain.html and formatnetwork.html.
type Virtual struct {
	Name string
	UUID string // "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
	// Defined is the XML that the next start goes by, empty of what is
	// transient, and Live that of what is at work now, empty where nothing is. Both
	// have the passwords in them that libvirt leaves out for others.
	Defined   string
	Live      string
	Active    bool // a domain that is paused is active
	Autostart bool
}

// LibvirtReader asks libvirtd.
type LibvirtReader interface {
	// Virtual finds a domain or network by its name. The error wraps
	// [fs.ErrNotExist] where there is none, and [ErrNotReady] where no
	// libvirtd listens.
	Virtual(ctx context.Context, object VirtualObject, name string) (Virtual, error)
	// Domains lists all domains, those that run and those that are only
	// defined, by name. The error wraps [ErrNotReady] where no libvirtd
	// listens: that is no list without domains.
	Domains(ctx context.Context) ([]DomainName, error)
}

// DomainName is what a domain is known by.
type DomainName struct {
	Name string
	UUID string // as in [Virtual]; a domain keeps it where it is moved to another host
}

// VirtualVerb is an order to libvirtd about a domain or a network.
type VirtualVerb string

// The orders, in the words of virsh(1). Shutdown presses the power button of a
// domain and does not wait; Destroy pulls its plug, or takes a network down. Undefine keeps
// the variables of a UEFI firmware, and is refused while there is a saved state
// or a snapshot.
const (
	VirtualStart       VirtualVerb = "start"
	VirtualShutdown    VirtualVerb = "shutdown"
	VirtualDestroy     VirtualVerb = "destroy"
	VirtualUndefine    VirtualVerb = "undefine"
	VirtualAutostart   VirtualVerb = "autostart"
	VirtualNoAutostart VirtualVerb = "no-autostart"
)

// DeviceVerb is what is done with a device of a domain that runs.
type DeviceVerb string

// The verbs. A detach returns when the guest was asked: it is done once the
// device is gone from [Virtual.Live].
const (
	DeviceAttach DeviceVerb = "attach"
	DeviceDetach DeviceVerb = "detach"
	DeviceUpdate DeviceVerb = "update"
)

// LibvirtWriter gives orders to libvirtd. Each call is one effect.
type LibvirtWriter interface {
	// Define makes a domain or a network, or changes the definition of the
	// one that has its name; what is at work goes on as it is.
	Define(ctx context.Context, object VirtualObject, name, xml string) error
	// Order gives an order about what is there.
	Order(ctx context.Context, verb VirtualVerb, object VirtualObject, name string) error
	// Device changes a device of a domain that runs, and not its definition.
	Device(ctx context.Context, verb DeviceVerb, domain, xml string) error
}

// Libvirt is the door to libvirtd: its domains and networks.
type Libvirt interface {
	LibvirtReader
	LibvirtWriter
}

// LibvirtError is libvirtd's refusal.
type LibvirtError struct {
	Act    string // "define domain v0"
	Code   int    // a virErrorNumber
	Said   string // "operation failed: domain 'v0' already exists"
	Advice string // what to do; may be empty
}

// Error names the act and what was said.
func (e *LibvirtError) Error() string {
	s := fmt.Sprintf("libvirtd refuses to %s: %s", e.Act, e.Said)
	if e.Advice != "" {
		s += " (" + e.Advice + ")"
	}
	return s
}
