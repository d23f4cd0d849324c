package netconf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// vsctl are commands of ovs-vsctl(8) as network-scripts hold them: what follows
// add-port (OVS_OPTIONS, columns of the port first), what follows "set Interface"
// of a tunnel (OVS_TUNNEL_OPTIONS), and commands after those (OVS_EXTRA). The
// scripts split them at blanks, without a shell to evaluate them.
type vsctl struct {
	device string
	keys   map[string][][]string // commands by variable
}

const (
	ovsOptions = "OVS_OPTIONS"
	ovsTunnel  = "OVS_TUNNEL_OPTIONS"
	ovsExtra   = "OVS_EXTRA"
)

func splitCommands(text string) [][]string {
	out := [][]string{nil}
	for _, w := range strings.Fields(text) {
		if w == "--" {
			out = append(out, nil)
		} else {
			out[len(out)-1] = append(out[len(out)-1], w)
		}
	}
	return out
}

func joinCommands(commands [][]string) string {
	var out []string
	for i, c := range commands {
		if i == 0 || len(c) > 0 {
			out = append(out, strings.Join(c, " "))
		}
	}
	return strings.TrimSpace(strings.Join(out, " -- "))
}

func parseVsctl(k keys, device string) vsctl {
	v := vsctl{device, map[string][][]string{}}
	for _, name := range []string{ovsOptions, ovsTunnel, ovsExtra} {
		text, _ := k.get("", name)
		v.keys[name] = splitCommands(text)
	}
	return v
}

// write sets the variables that mean something else than before. One in which a
// shell would expand something is not edited: it would be quoted then.
func (v vsctl) write(k *keys, file string) error {
	for _, name := range slices.Sorted(maps.Keys(v.keys)) {
		text, _ := k.get("", name)
		now := joinCommands(v.keys[name])
		if now == joinCommands(splitCommands(text)) {
			continue
		}
		if strings.ContainsAny(text, "$`\\*?") {
			return fmt.Errorf("%s has %s with something that a shell expands, which weft cannot edit: write it out, or leave persist out", file, name)
		}
		k.set("", name, now)
	}
	return nil
}

// settings are the words of a command that set columns of a row; ok says whether
// it is such a command.
func (v vsctl) settings(variable string, at int, command []string, table, row string) (from int, ok bool) {
	switch {
	case at == 0 && variable == ovsOptions:
		return 0, table == "port" && row == v.device
	case at == 0 && variable == ovsTunnel:
		return 0, table == "interface" && row == v.device
	case len(command) < 3 || command[0] != "set" || !strings.EqualFold(command[1], table):
		return 0, false
	}
	named := strings.Trim(command[2], `"{}`)
	return 3, named == row || row == v.device && strings.Trim(named, "${}") == "DEVICE"
}

// set makes columns of a row hold what they are to: where they are said, else in
// the variable named.
func (v vsctl) set(variable, table, row string, columns []OVSColumn) {
	for _, c := range columns {
		said := false
		for _, name := range slices.Sorted(maps.Keys(v.keys)) {
			commands := v.keys[name]
			for at := range commands {
				if from, ok := v.settings(name, at, commands[at], table, row); ok {
					said = c.settle(&commands[at], from, said)
				}
			}
		}
		if !said && c.Value != "" {
			v.add(variable, table, row, c)
		}
	}
	for name, commands := range v.keys {
		v.keys[name] = slices.DeleteFunc(commands, func(c []string) bool { return len(c) == 3 && c[0] == "set" })
	}
}

// forget takes out the commands that set columns of a row.
func (v vsctl) forget(table, row string) {
	for _, name := range slices.Sorted(maps.Keys(v.keys)) {
		v.keys[name] = slices.DeleteFunc(v.keys[name], func(c []string) bool {
			_, ok := v.settings(name, 1, c, table, row)
			return ok
		})
	}
}

// settle makes the settings of one command say what c does, once.
func (c OVSColumn) settle(command *[]string, from int, said bool) bool {
	out := slices.Clone((*command)[:from])
	for _, w := range (*command)[from:] {
		name, value, _ := strings.Cut(w, "=")
		column, key, _ := strings.Cut(name, ":")
		switch {
		case strings.ReplaceAll(column, "-", "_") != c.Column || strings.Trim(key, `"`) != c.Key:
			out = append(out, w)
		case said || c.Value == "":
		case c.sameValue(strings.Trim(value, `"[]`)):
			out, said = append(out, w), true
		default:
			out, said = append(out, c.word(`"`)), true
		}
	}
	*command = out
	return said
}

// sameValue compares values: of a set the order means nothing.
func (c OVSColumn) sameValue(now string) bool {
	if c.Key != "" {
		return now == c.Value
	}
	set := func(text string) []string { return slices.Sorted(strings.SplitSeq(text, ",")) }
	return slices.Equal(set(now), set(c.Value))
}

func (v vsctl) add(variable, table, row string, c OVSColumn) {
	commands := v.keys[variable]
	for at := range commands {
		if _, ok := v.settings(variable, at, commands[at], table, row); ok {
			commands[at] = append(commands[at], c.word(`"`))
			return
		}
	}
	v.append([]string{"set", table, row, c.word(`"`)})
}

// append adds a command to OVS_EXTRA.
func (v vsctl) append(command []string) {
	commands := slices.DeleteFunc(v.keys[ovsExtra], func(c []string) bool { return len(c) == 0 })
	v.keys[ovsExtra] = append(commands, command)
}

// controllers makes the commands of a bridge's controllers those that are wanted.
func (v vsctl) controllers(bridge string, want [][]string) {
	now := v.keys[ovsExtra]
	has := func(c []string) bool {
		return slices.ContainsFunc(now, func(o []string) bool { return slices.Equal(o, c) })
	}
	if want == nil || !slices.ContainsFunc(want, func(c []string) bool { return !has(c) }) {
		return
	}
	v.set(ovsExtra, "bridge", bridge, []OVSColumn{{Column: "controller"}})
	v.keys[ovsExtra] = slices.DeleteFunc(v.keys[ovsExtra], func(c []string) bool {
		words := strings.ToLower(strings.Join(c, " "))
		return strings.HasPrefix(words, "set-controller ") || strings.HasPrefix(words, "del-controller ") || strings.Contains(words, "create controller ") ||
			strings.HasPrefix(words, "clear bridge ") && strings.HasSuffix(words, " controller")
	})
	for _, c := range want {
		v.append(c)
	}
}
