package ovs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/ifupdown"
	"weft/engine/step"
)

// What keeps a bridge or a port over a reboot is a file below
// /etc/network/interfaces.d, read by ifup -a at boot. Its hook, which package
// openvswitch-switch installs (/usr/share/openvswitch/scripts/ifupdown.sh,
// described in README.Debian), makes what the options ovs_* say.
//
// "auto" starts it at boot: the services of Open vSwitch are ordered before
// networking.service. "no-auto-down" keeps ifdown -a away, whose hook would
// delete the bridge, with all that others put there, from a database that
// outlives the reboot. Bridges are read before ports because of their names,
// so a port's file stands for itself and no bridge lists its ports.

func bridgeFile(name string) string { return ifupdown.Bridge.Path(name) }
func portFile(name string) string   { return ifupdown.Port.Path(name) }

// The hook hands ovs_extra to a shell and splits it at blanks, so a word has
// only characters that mean nothing there.
var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_.:/,=+@%-]+$`)

// keySafe are keys that ovs-vsctl(8) takes without quotes.
var keySafe = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// unsafe finds attributes that cannot stand in a persisted file.
func unsafe(values map[string]string, keys ...map[string]step.Attr[string]) []step.Problem {
	var problems []step.Problem
	bad := func(at string) {
		problems = append(problems, step.Problem{
			Path:    at,
			Message: "cannot be kept over a reboot, since ifupdown's hook hands it to a shell",
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

// stanza is an interface as interfaces(5) describes it.
type stanza struct {
	object    string // "bridge br0", for people
	name      string
	options   []string   // "ovs_type OVSBridge"
	extra     [][]string // commands of ovs-vsctl
	addresses []string
	up        bool
}

func (s stanza) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The %s, written by weft, which overwrites changes.\n", s.object)
	fmt.Fprintf(&b, "auto %s\nno-auto-down %s\n", s.name, s.name)
	commands := []string{}
	for _, words := range s.extra {
		commands = append(commands, strings.Join(words, " "))
	}
	options := slices.Clone(s.options)
	if len(commands) > 0 {
		options = append(options, "ovs_extra "+strings.Join(commands, " -- "))
	}
	if s.up && len(s.addresses) == 0 {
		options = append(options, "up ip link set dev $IFACE up")
	}
	if len(s.addresses) == 0 {
		fmt.Fprintf(&b, "iface %s inet manual\n", s.name)
	}
	for i, a := range s.addresses {
		family := "inet"
		if p, err := netip.ParsePrefix(a); err == nil && p.Addr().Is6() {
			family = "inet6"
		}
		fmt.Fprintf(&b, "iface %s %s static\n    address %s\n", s.name, family, a)
		if i == 0 {
			indent(&b, options)
		}
	}
	if len(s.addresses) == 0 {
		indent(&b, options)
	}
	return b.String()
}

func indent(b *strings.Builder, options []string) {
	for _, o := range options {
		b.WriteString("    " + o + "\n")
	}
}

// settings collects the words of "set TABLE NAME COLUMN=VALUE …".
type settings []string

func (s *settings) add(column, value string) {
	if value != "" {
		*s = append(*s, column+"="+value)
	}
}

func (s *settings) keys(column string, keys map[string]step.Attr[string]) {
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if v, ok := keys[k].Get(); ok {
			s.add(column+":"+k, v)
		}
	}
}

func (s *settings) flag(column string, b step.Attr[bool]) {
	if v, ok := b.Get(); ok {
		s.add(column, strconv.FormatBool(v))
	}
}

func (s *settings) number(column string, n step.Attr[int]) {
	if v, ok := n.Get(); ok {
		s.add(column, strconv.Itoa(v))
	}
}

func (s *settings) numbers(column string, list []int) {
	words := make([]string, len(list))
	for i, n := range slices.Sorted(slices.Values(list)) {
		words[i] = strconv.Itoa(n)
	}
	s.add(column, strings.Join(words, ","))
}

func (s settings) set(table, name string) []string { return append([]string{"set", table, name}, s...) }

// readFile answers what a persisted file holds, where want manages it.
func readFile(ctx context.Context, v host.View, name string, want step.Attr[string]) (step.Attr[string], error) {
	if !want.Managed() {
		return step.Attr[string]{}, nil
	}
	b, err := v.Files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return step.None[string](), nil
	}
	return step.Is(string(b)), err
}

// fileDelta compares a persisted file. The path is that of the spec's field.
func fileDelta(have, want step.Attr[string]) []step.Delta {
	if !want.Managed() || have == want {
		return nil
	}
	shown := func(a step.Attr[string]) any {
		if s, ok := a.Get(); ok {
			return s
		}
		return nil
	}
	return []step.Delta{step.Change("persist.file", shown(have), shown(want))}
}

func writeFile(ctx context.Context, h host.Host, name string, have, want step.Attr[string]) error {
	content, there := want.Get()
	switch {
	case !want.Managed() || have == want:
		return nil
	case !there:
		return h.Files.Remove(ctx, name)
	}
	return h.Files.Write(ctx, name, []byte(content), host.Attributes{})
}
