module muster-assertion

go 1.22
