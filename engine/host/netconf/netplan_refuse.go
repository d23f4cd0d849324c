package netconf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unclear refuses devices that a definition may be of which is of others, too, or
// which does not say whose it is.
func (p parsedPlans) unclear(kinds map[string]string) error {
	for _, device := range slices.Sorted(maps.Keys(kinds)) {
		for _, name := range slices.SortedFunc(maps.Keys(p), byBase) {
			if err := p.unclearIn(name, device, kinds[device]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p parsedPlans) unclearIn(file, device, kind string) error {
	network := p[file].get("network")
	if network == nil {
		return nil
	}
	for _, section := range network.pairs {
		for _, d := range section.value.pairs {
			match, name := d.value.get("match"), d.value.get("match", "name").text()
			at := fmt.Sprintf("%s, line %d: %s.%s", file, d.at+1, section.key, d.key)
			switch {
			case match == nil || d.value.get("set-name").text() != "":
			case strings.ContainsAny(name, "*?[") && describes(d, device):
				return fmt.Errorf("%s is of every device %s, not of %s alone: give %s a definition of its own there, with its addresses, and narrow the match", at, name, device, device)
			case name == "" && profileType(kind) == "ethernet" && !p.there(device):
				return fmt.Errorf("%s does not say by name which device it is of, and may be of %s: say set-name or match.name there, or define %s itself", at, device, device)
			}
		}
	}
	return nil
}
