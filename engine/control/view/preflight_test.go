package view

import (
	"bytes"
	"testing"

	"weft/engine/control/preflight"
)

func TestPreflight(t *testing.T) {
	for _, tt := range []struct {
		findings []preflight.Finding
		want     string
	}{
		{nil, "nothing stands in the way on 2 hosts\n"},
		{[]preflight.Finding{
			{Host: "a", Severity: preflight.Problem, Step: "pci_driver.x", What: "no IOMMU\x1b[2J\nat all"},
			{Host: "a", Severity: preflight.Warning, What: "no clock", Why: "it drifts", Do: "install chrony"},
			{Host: "b", Severity: preflight.Problem, What: "twin"},
		}, `a
  problem  pci_driver.x: no IOMMU\x1b[2J
           at all
  warning  no clock
           why: it drifts
           do: install chrony
b
  problem  twin
2 problems, 1 warning on 2 hosts
`},
	} {
		var out bytes.Buffer
		if err := Preflight(&out, none, tt.findings, 2); err != nil || out.String() != tt.want {
			t.Errorf("got %v\n%s", err, out.String())
		}
	}
}
