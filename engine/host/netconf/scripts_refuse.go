package netconf

import (
	"fmt"
	"maps"
	"slices"
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
	}
	return nil
}

func scriptPath(device string) string { return scriptDirectory + "/ifcfg-" + fileName(device) }
