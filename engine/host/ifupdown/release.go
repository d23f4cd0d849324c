package ifupdown

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// givingMethods give addresses by themselves. Methods that make a device (ppp,
// tunnel, …) and inet6's auto, which lets routers speak, are left alone.
var givingMethods = []string{"static", "dhcp", "bootp", "ipv4ll"}

// givingOptions are the options of the method static that say addresses and
// routes (interfaces(5)).
var givingOptions = []string{"address", "netmask", "broadcast", "network", "metric", "gateway", "pointopoint", "scope"}

var commandOptions = []string{"up", "down", "pre-up", "pre-down", "post-up", "post-down"}

// gives says whether the head of a stanza, or a line in it, gives its device an
// address or a route.
func (t Text) gives(at int) bool {
	l := t.lines[at]
	if head, ok := l.iface(); ok {
		return slices.Contains(givingMethods, head.Method)
	}
	switch {
	case len(l.words) == 0 || l.stanza < 0:
		return false
	case CommandGives(l.words):
		return true
	case slices.Contains(givingOptions, l.words[0]):
		return t.gives(l.stanza)
	}
	return false
}

// CommandGives says whether the words of a line are a command that gives an address
// or a route, as stanzas have them ("up ip route add …").
func CommandGives(words []string) bool {
	return len(words) > 0 && slices.Contains(commandOptions, words[0]) && commandGives(words[1:])
}

// commandGives knows the commands that people write into stanzas: ip address
// and ip route in all their abbreviations, route, ifconfig.
func commandGives(words []string) bool {
	if len(words) == 0 {
		return false
	}
	switch path.Base(words[0]) {
	case "route", "ifconfig":
		return true
	case "ip":
		for _, w := range words[1:] {
			if !strings.HasPrefix(w, "-") {
				return strings.HasPrefix("address", w) || strings.HasPrefix("route", w) && w != ""
			}
		}
	}
	return false
}

// Gives says whether the file gives a device addresses or routes.
func (t Text) Gives(device string) bool { return len(t.giving(device)) > 0 }

// giving are the lines that do.
func (t Text) giving(device string) []int {
	var out []int
	for at, l := range t.lines {
		if l.stanza < 0 {
			continue
		}
		head, ok := t.lines[l.stanza].iface()
		if ok && of(device, head.Name) && (head.Family == "inet" || head.Family == "inet6") && t.gives(at) {
			out = append(out, at)
		}
	}
	return out
}

// mark is what stands before a line that was released: the number of the
// release, the device, and whether a line follows that stands for it ("=").
var mark = regexp.MustCompile(`^#weft ([1-9][0-9]{0,6}) (\S+)([:=]) `)

func marked(physical, device string) (number int, replaced bool, rest string) {
	m := mark.FindStringSubmatch(physical)
	if m == nil || m[2] != device {
		return 0, false, physical
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, false, physical
	}
	return n, m[3] == "=", physical[len(m[0]):]
}

// lastRelease is the highest number of a device's marks; 0 where it has none.
func (t Text) lastRelease(device string) int {
	last := 0
	for physical := range strings.Lines(t.String()) {
		n, _, _ := marked(physical, device)
		last = max(last, n)
	}
	return last
}

// Release takes from a device the addresses and routes that the file gives it.
// A file that gives none stays as it is.
func (t Text) Release(device string) Text {
	giving := t.giving(device)
	if len(giving) == 0 {
		return t
	}
	number := t.lastRelease(device) + 1
	var b strings.Builder
	for at, l := range t.lines {
		if !slices.Contains(giving, at) {
			b.WriteString(strings.Join(l.raw, ""))
			continue
		}
		for _, physical := range l.raw[:len(l.raw)-1] {
			fmt.Fprintf(&b, "#weft %d %s: %s", number, device, physical)
		}
		last := l.raw[len(l.raw)-1]
		if _, ok := l.iface(); !ok {
			fmt.Fprintf(&b, "#weft %d %s: %s", number, device, last)
			continue
		}
		words := slices.Concat([]string{"iface", l.words[1], l.words[2], "manual"}, l.words[4:])
		end := strings.TrimPrefix(last, body(last))
		fmt.Fprintf(&b, "#weft %d %s= %s\n%s%s", number, device, body(last), strings.Join(words, " "), end)
	}
	return Parse([]byte(b.String()))
}

// Restore takes back the last release of a device.
func (t Text) Restore(device string) Text {
	last := t.lastRelease(device)
	if last == 0 {
		return t
	}
	var b strings.Builder
	physical := slices.Collect(strings.Lines(t.String()))
	for i := 0; i < len(physical); i++ {
		n, replaced, rest := marked(physical[i], device)
		if n != last {
			b.WriteString(physical[i])
			continue
		}
		if replaced && i+1 < len(physical) && standsIn(physical[i+1], device) {
			i++
			rest = body(rest) + strings.TrimPrefix(physical[i], body(physical[i]))
		}
		b.WriteString(rest)
	}
	return Parse([]byte(b.String()))
}

// standsIn says whether a line is one that Release wrote for another.
func standsIn(physical, device string) bool {
	w := fields(physical)
	return len(w) >= 4 && w[0] == "iface" && of(device, w[1]) && w[3] == "manual"
}
