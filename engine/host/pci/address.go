package pci

import (
	"fmt"
	"regexp"
	"strings"
)

// function is domain, bus, device and function; a domain may have more than
// four digits.
var function = regexp.MustCompile(`^([0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)

// Address is a PCI address as sysfs spells it, from what a person writes: in
// lower case, and of the domain 0000 where none is named.
func Address(text string) (string, error) {
	a := strings.ToLower(strings.TrimSpace(text))
	if !function.MatchString(a) {
		return "", fmt.Errorf("%q is no PCI address: write it as 0000:01:00.0, or 01:00.0", text)
	}
	if strings.Count(a, ":") == 1 {
		a = "0000:" + a
	}
	return a, nil
}
