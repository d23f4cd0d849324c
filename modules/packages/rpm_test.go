package packages

import (
	"os"
	"testing"

	"weft/engine/step"
	"weft/engine/step/steptest"
)

func TestPackageLawsByDNF(t *testing.T) {
	const pony, cart, libpony = steptest.Prefix + "-pony", steptest.Prefix + "-cart", steptest.Prefix + "-libpony"
	onlyWhole(t)
	laws(t, steptest.Subject{
		Kind:    packageKind(),
		Machine: redhatMachine,
		Policy:  policy(),
		Found: []steptest.Hand{
			{Name: "absent"},
			byDNF("old", []string{"install", pony + "-1.0", libpony + "-1.0"}),
			byDNF("as a dependency", []string{"install", cart}),
			byDNF("held and automatic", []string{"install", pony + "-1.0", cart}, []string{"mark", "remove", pony}, []string{"versionlock", "add", pony}),
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: PackageSpec{Name: pony, By: dnf, Version: step.Is("2.0"), Hold: step.Is(true), ListsAge: "24h"},
				Drift: []steptest.Hand{
					byDNF("state", []string{"remove", pony}),
					byDNF("version", []string{"versionlock", "delete", pony}, []string{"install", pony + "-1.0"}),
					byDNF("hold", []string{"versionlock", "delete", pony}),
				},
			},
			{Name: "in any version", Spec: PackageSpec{Name: pony, By: dnf}},
			{Name: "old again", Spec: PackageSpec{Name: pony + ".noarch", By: dnf, Version: step.Is("0:1.0-1"), Hold: step.Is(false)}},
			{Name: "several", Spec: PackageSpec{Names: []string{pony, steptest.Prefix + "-stable"}, By: dnf, Versions: map[string]string{pony: "2.0-1"}}},
			{Name: "a group", Spec: PackageSpec{Name: "@" + steptest.Prefix + "-herd", By: dnf}},
			{
				Name: "absent", Spec: PackageSpec{Name: pony, By: dnf, State: step.Absent},
				Drift: []steptest.Hand{byDNF("state", []string{"install", pony + "-1.0"})},
			},
		},
		Prepare: realRPMs,
		Touches: realRPMTouches(),
		Clean:   bareRPMs(),
	})
}

// onlyWhole leaves out what takes dnf many minutes on a real host, unless the whole of
// the laws is asked for; scenario S5 stands in for it.
func onlyWhole(t *testing.T) {
	t.Helper()
	if os.Getenv("WEFT_LAWS_HOST") == "1" && testing.Short() {
		t.Skip("dnf takes its time: make laws walks this on a real host")
	}
}
