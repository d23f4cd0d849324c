package system

import (
	"fmt"
	"strings"
)

// unitText is a unit file as systemd.syntax(7) has it.
type unitText struct {
	keys     []string // SECTION.KEY of its assignments, in order, each time
	mistakes []string
}

// parseUnitText reads a unit file. Lines that systemd would pass over with a word in
// its log are mistakes.
func parseUnitText(text string) unitText {
	var u unitText
	section, goesOn := "", false
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		comment := line == "" || line[0] == '#' || line[0] == ';'
		switch {
		case comment:
			continue // also in the middle of a value
		case goesOn:
		case line[0] == '[' && line[len(line)-1] == ']' && len(line) > 2:
			section = line[1 : len(line)-1]
		default:
			key, _, ok := strings.Cut(line, "=")
			key = strings.TrimSpace(key)
			switch {
			case !ok || key == "":
				u.mistakes = append(u.mistakes, fmt.Sprintf("line %d, %q, is neither a section nor KEY=VALUE", n, line))
			case section == "":
				u.mistakes = append(u.mistakes, fmt.Sprintf("line %d, %q, comes before any section", n, line))
			default:
				u.keys = append(u.keys, section+"."+key)
			}
		}
		goesOn = strings.HasSuffix(line, `\`)
	}
	return u
}
