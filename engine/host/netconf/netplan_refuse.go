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

// unclearRoutes refuses routes of a device that say more than ours can.
func (p parsedPlans) unclearRoutes(device string) error {
	for _, name := range slices.SortedFunc(maps.Keys(p), byBase) {
		var err error
		p[name].each(device, func(_ definition, d yamlPair) {
			routes := d.value.get("routes")
			if routes == nil {
				return
			}
			for _, r := range routes.items {
				for _, says := range r.pairs {
					known := slices.Contains([]string{"to", "via", "metric", "from", "on-link", "scope"}, says.key) || says.key == "table" && says.value.text() == "254"
					if !known {
						err = fmt.Errorf("%s, line %d: a route of %s says %s: %s, which weft does not keep and would lose: move it to a script of its own, or leave persist out", name, says.at+1, device, says.key, says.value.text())
					}
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
