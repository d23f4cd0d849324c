package netconf

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// unclear refuses a part whose devices' files are not known for sure.
func (s scripts) unclear(files Files, part Part) error {
	kinds := touched(part)
	for _, device := range slices.Sorted(maps.Keys(kinds)) {
		if scriptOf(files, device) != "" {
			continue
		}
		if name := scriptPath(device); has(files, name) {
			return fmt.Errorf("%s is there, and its line DEVICE= does not name %s in plain words: write DEVICE=%s there, with the line ends of Unix, or move it away", name, device, device)
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if profileType(kinds[device]) == "ethernet" && nameless(name, files[name]) {
				return fmt.Errorf("%s does not say by DEVICE= which device it is of, and may be of %s: write DEVICE=… of its device there, or give %s a file of its own", name, device, device)
			}
		}
	}
	return nil
}

// nameless says whether a file finds its device by the Ethernet address, or by
// what only a shell knows.
func nameless(name, text string) bool {
	if !strings.HasPrefix(path.Base(name), "ifcfg-") {
		return false
	}
	k := parseKeys(shell{}, text)
	device, there := k.get("", "DEVICE")
	_, address := k.get("", "HWADDR")
	return strings.ContainsAny(device, "$`") || !there && (address || k.code() > 0)
}

func scriptPath(device string) string { return scriptDirectory + "/ifcfg-" + fileName(device) }

// code is the first line, from 1, of what is neither an assignment nor a comment;
// 0 where all is.
func (k keys) code() int {
	line := 1
	for _, e := range k.entries {
		rest := strings.TrimSpace(e.raw)
		if e.key != "" {
			_, value, _ := strings.Cut(e.raw, "=")
			_, used, _ := word(value)
			if !strings.ContainsAny(value[:used], "'\"") && strings.ContainsAny(value[:used], "&|<>()") {
				return line
			}
			rest = strings.TrimSpace(value[used:])
		}
		if rest != "" && !strings.HasPrefix(rest, "#") || strings.Contains(e.raw, "\r") {
			return line
		}
		line += strings.Count(e.raw, "\n")
	}
	return 0
}
