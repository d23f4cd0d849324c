package network

import (
	"context"
	"fmt"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// keeping is what persist says of a part of a device: in a spec its wish, in a
// state what was found.
type keeping struct {
	persist step.Attr[bool]
	by      string // family; detected where empty
	files   *netconf.State
}

// keepProblems are those of the attributes that say what is kept.
func keepProblems(persist step.Attr[bool], by string) []step.Problem {
	if by == "" || persist.Managed() {
		return nil
	}
	return []step.Problem{{Path: "persist_by", Message: "says what sets it at boot, and persist is left out", Hint: "say persist = true"}}
}

// goal is what a spec's files are to be; nil where nobody minds.
func goal(persist step.Attr[bool]) *netconf.State {
	if !persist.Managed() {
		return nil
	}
	return &netconf.State{}
}

// look reads the files of a part: those on record for an undo.
func (k keeping) look(ctx context.Context, v host.View, part netconf.Part, daemon string) (*netconf.State, error) {
	if k.files == nil {
		return nil, nil
	}
	if k.files.Family != "" {
		s, err := netconf.LookBack(ctx, v, *k.files)
		return &s, err
	}
	family := netconf.Family(k.by)
	if family == "" {
		var err error
		if family, err = netconf.Detect(ctx, v, part.Of(), daemon); err != nil {
			return nil, err
		}
	}
	change := family.Drop
	if k.persist.Or(false) {
		change = family.Keep
		if err := family.Readable(ctx, v, part); err != nil {
			return nil, err
		}
	}
	s, err := netconf.Look(ctx, v, family, func(f netconf.Files) (netconf.Goal, error) { return change(f, part) })
	return &s, err
}

// write makes the files of a part what they are to be, or brings back those on
// record.
func (k keeping) write(ctx context.Context, h host.Host, part netconf.Part, daemon string) (written []string, err error) {
	switch {
	case k.files == nil:
		return nil, nil
	case k.files.Family != "":
		return k.files.Back(ctx, h)
	}
	s, err := k.look(ctx, h.View(), part, daemon)
	if err != nil {
		return nil, err
	}
	return s.Apply(ctx, h)
}

// configured has the daemon of a device configure it by its files anew.
func (k keeping) configured(ctx context.Context, h host.Host, part netconf.Part, daemon string) error {
	written, err := k.write(ctx, h, part, daemon)
	if err != nil {
		return err
	}
	now, err := k.look(ctx, h.View(), part, daemon)
	if err != nil {
		return err
	}
	return netconf.Activate(ctx, h, now.Family, daemon, part.Of(), written)
}

// takes says whether the daemon of a device does what files of a family say.
func takes(daemon string, files *netconf.State) bool {
	if files == nil {
		return false
	}
	switch files.Family {
	case netconf.Netplan:
		return daemon != ""
	case netconf.NetworkManager, netconf.Scripts:
		return daemon == netconf.NetworkManagerDaemon
	}
	return false
}

// keptDelta compares the files of a part.
func keptDelta(have, want *netconf.State) []step.Delta {
	if have == nil || want == nil {
		return nil
	}
	var gone, come []string
	for _, c := range have.Changes(*want) {
		for _, l := range c.Gone {
			gone = append(gone, c.File+": "+netconf.Shown(c.File, l))
		}
		for _, l := range c.New {
			come = append(come, c.File+": "+netconf.Shown(c.File, l))
		}
		if len(c.Gone)+len(c.New) == 0 {
			come = append(come, c.File)
		}
	}
	if len(gone)+len(come) == 0 {
		return nil
	}
	return []step.Delta{step.Change("persist.files", gone, come)}
}

// refuseOwned is the error of a change to a link that a daemon configures, and
// would not configure as these files say.
func refuseOwned(ctx context.Context, v host.View, l host.Link, files *netconf.State) (daemon string, err error) {
	daemon, err = owner(ctx, v, l)
	if err != nil || daemon == "" || takes(daemon, files) {
		return daemon, err
	}
	how := "a .network file with Unmanaged=yes"
	if daemon == netconf.NetworkManagerDaemon {
		how = "nmcli device set " + l.Name + " managed no, and unmanaged-devices in its configuration"
	}
	if files == nil {
		how = "say persist = true, and weft changes it by " + daemon + "; or keep it off first (" + how + ")"
	} else {
		how = "keep it off first (" + how + ")"
	}
	return daemon, fmt.Errorf("%s configures %s and would take the change back: %s", daemon, l.Name, how)
}

// keepDoc is what the kinds of this family say of persist.
const keepDoc = "With `persist` files set the same at boot: a file of weft's own below /etc/network/interfaces.d or /etc/netplan, and else keys of the " +
	"device's profile of NetworkManager (*.nmconnection) or of its file of network-scripts (ifcfg-*), one of which is made where there is none. What " +
	"others wrote in them stays byte for byte, and undo takes out what was changed. netplan's files are edited where they are in block style. " +
	"Without `persist_by` it is netplan where /etc/netplan has files, NetworkManager where that manages the device, network-scripts where they are " +
	"installed, then ifupdown.\n\n" +
	"A device that NetworkManager manages, or systemd-networkd by files of netplan, is changed by that: its files are written and it is activated anew, which " +
	"interrupts its traffic. A change that would be taken back is refused: without `persist`, or where files of another way are asked for.\n\n"
