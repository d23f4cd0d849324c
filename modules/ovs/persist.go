package ovs

import (
	"context"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/netconf"
	"weft/engine/step"
)

// keeping is what persist says of an object: in a spec its wish, in a state what
// was found. What keeps it over a reboot are files of the family of programs that
// configures the host's network; the running state is in Open vSwitch's database
// alone, whatever they say.
type keeping struct {
	wish netconf.Wish
	part netconf.Part
	near []string // devices whose daemon is the one to ask; the object itself, its members
}

// keptGoal is what a spec's files are to be; nil where nobody minds. An object that
// goes does not come back at boot.
func keptGoal(persist step.Attr[bool], state step.State) *netconf.State {
	if !persist.Managed() && state.There() {
		return nil
	}
	return &netconf.State{}
}

func wish(persist step.Attr[bool], state step.State, by string, files *netconf.State) netconf.Wish {
	return netconf.Wish{Keep: persist.Or(false) && state.There(), By: netconf.Family(by), Files: files}
}

func (k keeping) read(ctx context.Context, v host.View) (*netconf.State, error) {
	daemon, err := k.owner(ctx, v)
	if err != nil {
		return nil, err
	}
	return k.wish.Look(ctx, v, k.part, daemon)
}

func (k keeping) write(ctx context.Context, h host.Host) error {
	daemon, err := k.owner(ctx, h.View())
	if err != nil {
		return err
	}
	_, err = k.wish.Write(ctx, h, k.part, daemon)
	return err
}

// owner is the daemon that configures what is near, where that has a say in
// which files are meant.
func (k keeping) owner(ctx context.Context, v host.View) (string, error) {
	if k.wish.Files == nil || k.wish.Files.Family != "" || k.wish.By != "" {
		return "", nil
	}
	links, err := v.Links.List(ctx, "")
	if err != nil {
		return "", err
	}
	for _, l := range links {
		if !slices.Contains(k.near, l.Name) {
			continue
		}
		if daemon, err := netconf.Owner(ctx, v, l); err != nil || daemon != "" {
			return daemon, err
		}
	}
	return "", nil
}

// keptDelta compares files.
func keptDelta(have, want *netconf.State) []step.Delta {
	gone, come := have.Lines(want)
	if len(gone)+len(come) == 0 {
		return nil
	}
	return []step.Delta{step.Change("persist.files", stringOrNil(strings.Join(gone, "\n")), stringOrNil(strings.Join(come, "\n")))}
}

// keptNotes are what files say beside, for the reader of a plan.
func keptNotes(have *netconf.State) []string {
	if have == nil {
		return nil
	}
	return have.Notes
}

// keepProblems are those of the attributes that say what is kept: a family that
// is named and has no words for something.
func keepProblems(persist step.Attr[bool], by string, part netconf.Part) []step.Problem {
	switch {
	case by == "":
		return nil
	case !persist.Managed():
		return []step.Problem{{Path: "persist_by", Message: "says what makes it at boot, and persist is left out", Hint: "say persist = true"}}
	case !persist.Or(false):
		return nil
	}
	if _, err := netconf.Family(by).Keep(netconf.Files{}, part); err != nil {
		return []step.Problem{{Path: "persist_by", Message: err.Error()}}
	}
	return nil
}

// keepDoc is what the kinds of this family say of persist.
const keepDoc = `

With ` + "`persist`" + ` files make it at boot as this step says: of weft's own below /etc/network/interfaces.d (for the hook of openvswitch-switch) or
/etc/netplan, and else keys of profiles of NetworkManager (types ovs-bridge, ovs-port, ovs-interface) or of files of network-scripts (ifcfg-*, for
ifup-ovs). Undo takes out what was changed. What a family has no words for is refused by the name of the attribute; ifupdown and
network-scripts have words for all. netplan sets fail_mode to standalone, rstp_enable and mcast_snooping_enable to false and lacp to off where a step says nothing of them. Without ` + "`persist_by`" + ` it is ifupdown where that makes it already, netplan where /etc/netplan has files, NetworkManager where
that manages the device and has the plugin for Open vSwitch (Debian's has not), network-scripts where they are installed, then ifupdown.

The files are for the next boot: what runs is in Open vSwitch's database, which this step writes. NetworkManager leaves objects alone that it did not
make, and is not told of the profiles; a ` + "`nmcli connection reload`" + ` makes them its own at once, and it then interrupts their traffic.`

// Files are read by a shell, or split at blanks, so a word has only characters
// that mean nothing there.
var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_.:/,=+@%-]+$`)

// keySafe are keys that ovs-vsctl(8) takes without quotes.
var keySafe = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// unsafe finds attributes that cannot stand in a persisted file.
func unsafe(values map[string]string, keys ...map[string]step.Attr[string]) []step.Problem {
	var problems []step.Problem
	bad := func(at string) {
		problems = append(problems, step.Problem{
			Path:    at,
			Message: "cannot be kept over a reboot, since what reads it at boot hands it to a shell",
			Hint:    "use letters, digits and . _ - : / , = + @ % only, or leave persist out",
		})
	}
	for at, v := range values {
		if v != "" && !shellSafe.MatchString(v) {
			bad(at)
		}
	}
	names := []string{"other_config", "external_ids", "options", "port_external_ids", "interface_other_config"}
	for i, m := range keys {
		for k, v := range m {
			if value, ok := v.Get(); ok && (!keySafe.MatchString(k) || !shellSafe.MatchString(value)) {
				bad(names[i] + "." + k)
			}
		}
	}
	slices.SortFunc(problems, func(a, b step.Problem) int { return strings.Compare(a.Path, b.Path) })
	return problems
}

// kept collects the columns of a row that files are to hold: those that are
// managed.
type kept []netconf.OVSColumn

func (k *kept) add(column, key, value string) {
	*k = append(*k, netconf.OVSColumn{Column: column, Key: key, Value: value})
}

func (k *kept) text(column string, a step.Attr[string]) {
	if a.Managed() {
		k.add(column, "", a.Or(""))
	}
}

func (k *kept) keys(column string, keys map[string]step.Attr[string]) {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if keys[key].Managed() {
			k.add(column, key, keys[key].Or(""))
		}
	}
}

func (k *kept) flag(column string, a step.Attr[bool])  { k.text(column, written(a, strconv.FormatBool)) }
func (k *kept) number(column string, a step.Attr[int]) { k.text(column, written(a, strconv.Itoa)) }

func (k *kept) numbers(column string, list []int) {
	words := make([]string, len(list))
	for i, n := range slices.Sorted(slices.Values(list)) {
		words[i] = strconv.Itoa(n)
	}
	if list != nil {
		k.add(column, "", strings.Join(words, ","))
	}
}

// keptDevice is what files say of a device beside the database.
func keptDevice(up step.Attr[bool], addresses []string) netconf.OVSDevice {
	own := netconf.OVSDevice{Up: up.Or(false), Down: !up.Or(true)}
	if addresses != nil {
		own.Addresses = []netip.Prefix{}
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a); err == nil { // Validate says so
			own.Addresses = append(own.Addresses, p)
		}
	}
	return own
}
