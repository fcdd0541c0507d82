"""What kind of customer somebody is: rules in a closed language, evaluated as one statement."""
